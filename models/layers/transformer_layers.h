// The layers that vision transformers share: layer norm, stochastic depth, the MLP of a block, the
// patch embedding and multi-head self attention, with timm's parameter names and arithmetic. Read
// next: vit.h.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/layers/layers.h"
#include "models/layers/mlp_kind.h"

namespace podium::models {

// Normalisation over the last axis. Shapes: (..., C) -> same.
class LayerNormImpl : public torch::nn::Module, public Initialised {
 public:
  // `initial_weight`: 0 makes a residual branch that ends in this norm start as the identity.
  explicit LayerNormImpl(int64_t num_channels, double eps = 1e-5, double initial_weight = 1.0);
  torch::Tensor forward(const torch::Tensor& input);
  std::vector<ParameterRule> parameter_rules() override;

  torch::Tensor weight, bias;

 private:
  double eps_;
  double initial_weight_;
};
TORCH_MODULE(LayerNorm);

// One learnt factor per channel of a residual branch (Touvron et al., "Going deeper with image
// transformers", 2021). Shapes: (..., C) -> same.
class LayerScaleImpl : public torch::nn::Module, public Initialised {
 public:
  LayerScaleImpl(int64_t num_channels, double initial_value);
  torch::Tensor forward(const torch::Tensor& input) { return input * gamma; }
  std::vector<ParameterRule> parameter_rules() override;

  torch::Tensor gamma;

 private:
  double initial_value_;
};
TORCH_MODULE(LayerScale);

// Stochastic depth (Huang et al., 2016): each sample's branch is left out with probability `rate`,
// the others are divided by 1 - rate. Shapes: (B, ...) -> same.
// Random: libtorch's generator, which the trainer seeds by (step, leaf); the draws of a leaf follow
// the order of the layers.
torch::Tensor drop_path(const torch::Tensor& branch, double rate, bool is_training);
// The rates of `depth` blocks in a row, from 0 to `last_rate`.
std::vector<double> drop_path_rates(double last_rate, int64_t depth);

// The MLP of a block. Shapes: (..., C) -> same; fc1 has `num_hidden` outputs.
class MlpImpl : public torch::nn::Module {
 public:
  // `output_gain`: factor on the first values of fc2's weight.
  MlpImpl(int64_t num_channels, int64_t num_hidden, MlpKind kind = MlpKind::kGelu,
          double output_gain = 1.0);
  torch::Tensor forward(const torch::Tensor& input);

 private:
  Linear fc1_{nullptr}, fc2_{nullptr};
  MlpKind kind_;
};
TORCH_MODULE(Mlp);

// Errors: UsageError naming the nearest size above when a side of images (B, C, H, W) is no
// multiple of `multiple` px.
void check_sides(const std::string& model, const torch::Tensor& images, int64_t multiple);

struct PatchEmbeddingOptions {
  int64_t in_channels = 3;
  int64_t patch_size = 16;  // px
  int64_t num_channels = 768;
  bool has_norm = false;  // layer norm (eps 1e-5) after the projection
};

// Patches to tokens. Shapes: (B, in_channels, H, W) -> (B, H / patch, W / patch, num_channels).
class PatchEmbeddingImpl : public torch::nn::Module {
 public:
  explicit PatchEmbeddingImpl(PatchEmbeddingOptions options);
  torch::Tensor forward(const torch::Tensor& images);

 private:
  Conv2d proj_{nullptr};
  LayerNorm norm_{nullptr};
};
TORCH_MODULE(PatchEmbedding);

struct AttentionOptions {
  int64_t num_channels = 768;
  int64_t num_heads = 12;
  // BEiT's and Swin-v2's form: the key has no bias, the others are parameters q_bias and v_bias.
  bool has_split_bias = false;
  double output_gain = 1.0;  // factor on the first values of proj's weight
};

struct AttentionHeads {
  torch::Tensor query, key, value;  // (B, heads, N, C / heads)
};

// softmax(scale q k^T + bias) v, fused where libtorch has a kernel for it.
// Shapes: bias broadcastable to (B, heads, N, N) -> (B, heads, N, C / heads). `scale`: by default
// 1 / sqrt(C / heads).
torch::Tensor attend(const AttentionHeads& heads,
                     const std::optional<torch::Tensor>& bias = std::nullopt,
                     std::optional<double> scale = std::nullopt);

// The projections around self attention: qkv before, proj after.
class AttentionProjectionsImpl : public torch::nn::Module, public Initialised {
 public:
  explicit AttentionProjectionsImpl(AttentionOptions options);
  // Shapes: (B, N, C) -> (3, B, heads, N, C / heads), a view: query, key and value.
  torch::Tensor project(const torch::Tensor& tokens);
  AttentionHeads split(const torch::Tensor& tokens);
  // Shapes: (B, heads, N, C / heads) -> (B, N, C).
  torch::Tensor join(const torch::Tensor& values);
  std::vector<ParameterRule> parameter_rules() override;

 private:
  AttentionOptions options_;
  Linear qkv_{nullptr}, proj_{nullptr};
  torch::Tensor q_bias_, v_bias_;  // undefined without the split form
};

// Plain self attention. Shapes: (B, N, C) -> same.
class AttentionImpl : public AttentionProjectionsImpl {
 public:
  using AttentionProjectionsImpl::AttentionProjectionsImpl;
  torch::Tensor forward(const torch::Tensor& tokens);
};
TORCH_MODULE(Attention);

}  // namespace podium::models
