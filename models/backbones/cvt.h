// CvT (Wu et al., "CvT: introducing convolutions to vision transformers", 2021) with the official
// repository's parameter names; transformers' names are a naming of its entries. Read next:
// transformer_layers.h.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "models/backbones/layouts.h"
#include "models/interface/classifier.h"
#include "models/layers/batch_norm.h"
#include "models/layers/transformer_layers.h"

namespace podium::models {

// Tokens (B, [1 +] h * w, C) of a map, the class token first where there is one, as queries, keys
// or values: a depthwise 3x3 convolution with batch norm on the map, then a linear layer on all.
class CvtProjectionImpl : public torch::nn::Module {
 public:
  CvtProjectionImpl(int64_t num_channels, int64_t stride);
  // Shapes: map (B, C, h, w) -> (B, ceil(h / stride) * ceil(w / stride), C).
  torch::Tensor forward(const torch::Tensor& map);

 private:
  Conv2d convolution_{nullptr};
  BatchNorm2d norm_{nullptr};
};
TORCH_MODULE(CvtProjection);

// Shapes: tokens (B, L, C) of a map of h x w places -> (B, L, C).
class CvtBlockImpl : public torch::nn::Module {
 public:
  CvtBlockImpl(int64_t num_channels, int64_t num_heads, bool has_class_token, double drop_path_rate,
               MlpKind mlp);
  torch::Tensor forward(const torch::Tensor& tokens, int64_t height, int64_t width);

 private:
  torch::Tensor attend(const torch::Tensor& tokens, int64_t height, int64_t width);

  LayerNorm norm1_{nullptr}, norm2_{nullptr};
  std::array<CvtProjection, 3> convolutions_{nullptr, nullptr, nullptr};  // query, key, value
  std::array<Linear, 3> projections_{nullptr, nullptr, nullptr};
  Linear output_{nullptr};
  Mlp mlp_{nullptr};
  int64_t num_heads_;
  bool has_class_token_;
  double drop_path_rate_;
};
TORCH_MODULE(CvtBlock);

// Shapes: images (B, in_channels, H, W) of any size -> logits (B, K), features (B, D) the class
// token after the last norm, unpooled (B, D, H / 16, W / 16) the last stage's map before it.
// Naming "official": QuickGELU; "transformers": the exact GELU.
class Cvt : public Classifier, public Initialised {
 public:
  Cvt(const ModelOptions& options, const CvtLayout& layout);
  // The tokens of the last stage (B, 1 + h * w, D), the class token first, before the last norm.
  torch::Tensor forward_features(const torch::Tensor& images) override;
  ModelOutput forward_head(const torch::Tensor& tokens) override;
  // After the last norm, where there is one.
  torch::Tensor feature_map(const torch::Tensor& tokens, int64_t height,
                            int64_t width) const override;
  // The patch tokens as a map.
  torch::Tensor unpooled(const torch::Tensor& tokens, int64_t height, int64_t width) const override;
  // The stages' maps of strides 4, 8 and 16, and the largest of each 2 x 2 of the last. Errors:
  // UsageError for images without two places a side there.
  std::vector<torch::Tensor> forward_pyramid(const torch::Tensor& images) override;
  std::vector<int64_t> pyramid_channels() const override;
  int64_t map_channels() const override { return layout_.dims.back(); }
  int64_t map_stride() const override { return 16; }
  std::string head_name() const override { return "head"; }
  std::vector<std::string> left_out_names() const override {
    return lacks_last_norm() ? std::vector<std::string>{"norm"} : std::vector<std::string>{};
  }
  std::string first_convolution() const override { return "stage0.patch_embed.proj.weight"; }
  LayerPatterns layer_patterns() const override {
    return {.stem = R"(stage0\.patch_embed)",
            .opening = R"(stage(\d+)\.(?:patch_embed|cls_token))",
            .block = R"(stage(\d+)\.blocks\.(\d+))",
            .closing = "norm"};
  }
  std::vector<std::string> no_decay_keywords() const override { return {"cls_token"}; }
  std::vector<ParameterRule> parameter_rules() override;

 private:
  struct Stage {
    Conv2d projection{nullptr};
    LayerNorm norm{nullptr};
    std::vector<CvtBlock> blocks;
  };

  // Tokens of the last stage; each stage's map is appended to `maps` where they are wanted.
  torch::Tensor run_stages(const torch::Tensor& images, std::vector<torch::Tensor>* maps);

  CvtLayout layout_;
  std::array<Stage, 3> stages_;
  torch::Tensor class_token_;  // (1, 1, D)
  mutable LayerNorm norm_{nullptr};
  Linear head_{nullptr};
};

}  // namespace podium::models
