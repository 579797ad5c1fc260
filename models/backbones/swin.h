// Swin (Liu et al., 2021) and Swin-v2 (Liu et al., 2022) with timm's parameter names. Read next:
// window_attention.h.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/backbones/layouts.h"
#include "models/interface/classifier.h"
#include "models/layers/window_attention.h"

namespace podium::models {

// One block's place in the network.
struct SwinBlockOptions {
  bool is_v2 = true;
  int64_t num_channels = 96;
  int64_t num_heads = 3;
  Grid table_window{7, 7};  // v1
  double drop_path_rate = 0.0;
};

// Attention and MLP. v1 normalises before each, v2 after each, so that v2's branches start at 0.
// Shapes: (B, H, W, C) -> same.
class SwinBlockImpl : public torch::nn::Module {
 public:
  explicit SwinBlockImpl(SwinBlockOptions options);
  torch::Tensor forward(const torch::Tensor& map, const WindowGrid& grid,
                        const WindowTables& tables);

 private:
  torch::Tensor attend_windows(const torch::Tensor& map, const WindowGrid& grid,
                               const WindowTables& tables);

  SwinBlockOptions options_;
  LayerNorm norm1_{nullptr}, norm2_{nullptr};
  WindowAttention attn_{nullptr};
  Mlp mlp_{nullptr};
};
TORCH_MODULE(SwinBlock);

// Joins 2 x 2 neighbours to one position of twice the channels; odd maps are padded with zeros. v1
// normalises before the projection, v2 after it. Shapes: (B, H, W, C) -> (B, H / 2, W / 2, 2 C).
class PatchMergingImpl : public torch::nn::Module {
 public:
  PatchMergingImpl(int64_t num_channels, bool is_v2);
  torch::Tensor forward(const torch::Tensor& map);

 private:
  Linear reduction_{nullptr};
  LayerNorm norm_{nullptr};
  bool is_v2_;
};
TORCH_MODULE(PatchMerging);

// Shapes: images (B, in_channels, H, W), sides multiples of 4 -> logits (B, K), features (B, 8 C).
// Maps that whole windows do not fill are padded with zeros. A map not larger than the window takes
// one window of its size: v2 judges by the images at hand, v1, whose table has the window's size,
// by options().image_size.
class Swin : public Classifier {
 public:
  Swin(const ModelOptions& options, const SwinLayout& layout);
  torch::Tensor forward_features(const torch::Tensor& images) override;  // (B, H/32, W/32, 8 C)
  ModelOutput forward_head(const torch::Tensor& features) override;
  torch::Tensor feature_map(const torch::Tensor& features, int64_t height,
                            int64_t width) const override;
  std::vector<torch::Tensor> forward_pyramid(const torch::Tensor& images) override;
  std::vector<int64_t> pyramid_channels() const override;
  int64_t map_channels() const override { return pyramid_channels().back(); }
  std::string head_name() const override { return "head"; }
  std::vector<std::string> left_out_names() const override {
    return lacks_last_norm() ? std::vector<std::string>{"norm"} : std::vector<std::string>{};
  }
  std::string first_convolution() const override { return "patch_embed.proj.weight"; }
  LayerPatterns layer_patterns() const override {
    return {.stem = "patch_embed",
            .opening = R"(layers\.(\d+)\.downsample)",
            .block = R"(layers\.(\d+)\.blocks\.(\d+))",
            .closing = "norm"};
  }
  // Those of Microsoft's repository. timm's set for v2 names modules, so that it exempts nothing.
  std::vector<std::string> no_decay_keywords() const override {
    return {"cpb_mlp", "logit_scale", "relative_position_bias_table"};
  }
  // v1: resizes tables of another window as timm does when it loads.
  void adapt_weights(StateDict& weights) const override;

 private:
  struct Stage {
    PatchMerging downsample{nullptr};  // null in the first
    std::vector<SwinBlock> blocks;
    std::array<WindowGrid, 2> grids;  // v1: without and with shift
  };
  void add_stage(torch::nn::Module& layers, size_t number, const std::vector<double>& rates);
  // The maps after each stage, (B, H', W', C').
  std::vector<torch::Tensor> run_stages(const torch::Tensor& images);

  SwinLayout layout_;
  PatchEmbedding patch_embed_{nullptr};
  std::array<Stage, 4> stages_;
  LayerNorm norm_{nullptr};
  Linear fc_{nullptr};
  torch::Tensor stem_weight_;  // whose type and device the tables take
  WindowTableCache tables_;
};

}  // namespace podium::models
