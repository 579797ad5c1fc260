// BEiT (Bao et al., 2022) and BEiT-v2 (Peng et al., 2022) with timm's parameter names: relative
// positions instead of a position embedding. Read next: transformer_layers.h, position_embedding.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/backbones/layouts.h"
#include "models/interface/classifier.h"
#include "models/layers/position_embedding.h"
#include "models/layers/transformer_layers.h"

namespace podium::models {

// A table of biases per relative position among the patches of a grid and a class token.
class RelativePositionsImpl : public torch::nn::Module, public Initialised {
 public:
  RelativePositionsImpl(Grid grid, int64_t num_heads);
  std::vector<ParameterRule> parameter_rules() override;

  torch::Tensor relative_position_bias_table;  // ((2 h - 1) * (2 w - 1) + 3, heads)
};
TORCH_MODULE(RelativePositions);

// Self attention with, where `grid` is given, a table of its own. Shapes: tokens (B, N, C), index
// (N * N), shared bias (heads, N, N) -> (B, N, C).
class BeitAttentionImpl : public AttentionProjectionsImpl {
 public:
  BeitAttentionImpl(AttentionOptions options, std::optional<Grid> grid);
  torch::Tensor forward(const torch::Tensor& tokens, const torch::Tensor& index,
                        const torch::Tensor& shared_bias);
  std::vector<ParameterRule> parameter_rules() override;

 private:
  torch::Tensor relative_position_bias_table_;  // undefined: the shared one
};
TORCH_MODULE(BeitAttention);

// Attention and MLP, each x + drop_path(gamma * f(norm(x))). Shapes: (B, N, C) -> same.
class BeitBlockImpl : public torch::nn::Module, public Initialised {
 public:
  // `number`: of the block, from 0; deeper blocks start with smaller outputs.
  BeitBlockImpl(const BeitLayout& layout, Grid grid, int64_t number, double drop_path_rate);
  torch::Tensor forward(const torch::Tensor& tokens, const torch::Tensor& index,
                        const torch::Tensor& shared_bias);
  std::vector<ParameterRule> parameter_rules() override;

 private:
  torch::Tensor gamma_1_, gamma_2_;
  LayerNorm norm1_{nullptr}, norm2_{nullptr};
  BeitAttention attn_{nullptr};
  Mlp mlp_{nullptr};
  double layer_scale_, drop_path_rate_;
};
TORCH_MODULE(BeitBlock);

// Shapes: images (B, in_channels, S, S), S = options().image_size, a multiple of 16 -> logits (B,
// K), features (B, C). Pools: "avg", the model's own (mean of the patches, then fc_norm), and
// "token" (norm, then the class token).
// Errors: UsageError for other sizes of images and unknown pools.
class Beit : public Classifier, public Initialised {
 public:
  Beit(const ModelOptions& options, const BeitLayout& layout);
  torch::Tensor forward_features(const torch::Tensor& images) override;  // (B, 1 + N, C)
  ModelOutput forward_head(const torch::Tensor& features) override;
  torch::Tensor feature_map(const torch::Tensor& features, int64_t height,
                            int64_t width) const override;
  // One map, the patches' after the last block.
  std::vector<torch::Tensor> forward_pyramid(const torch::Tensor& images) override;
  std::vector<int64_t> pyramid_channels() const override { return {layout_.num_channels}; }
  std::vector<double> pyramid_strides() const override;
  int64_t map_channels() const override { return layout_.num_channels; }
  std::string head_name() const override { return "head"; }
  std::vector<std::string> left_out_names() const override {
    return lacks_last_norm() ? std::vector<std::string>{"norm", "fc_norm"}
                             : std::vector<std::string>{};
  }
  std::string first_convolution() const override { return "patch_embed.proj.weight"; }
  LayerPatterns layer_patterns() const override {
    return {.stem = "cls_token|patch_embed",
            .shared_positions = "rel_pos_bias",
            .block = R"(blocks\.(\d+))",
            .closing = "norm"};
  }
  std::vector<std::string> no_decay_keywords() const override {
    return {"cls_token", "relative_position_bias_table"};
  }
  // Resizes tables of another image size as timm does when it loads.
  void adapt_weights(StateDict& weights) const override;
  std::vector<ParameterRule> parameter_rules() override;

 private:
  void check_size(const torch::Tensor& images) const;
  // Tokens after the last block. Shapes: -> (B, 1 + N, C).
  torch::Tensor run_blocks(const torch::Tensor& images);

  BeitLayout layout_;
  bool has_mean_pool_;
  Grid grid_;            // patches
  torch::Tensor index_;  // (N * N) int64, of the relative positions; follows the images' device
  torch::Tensor cls_token_;
  PatchEmbedding patch_embed_{nullptr};
  RelativePositions rel_pos_bias_{nullptr};  // null: a table in each block
  std::vector<BeitBlock> blocks_;
  LayerNorm norm_{nullptr};
  Linear head_{nullptr};
};

}  // namespace podium::models
