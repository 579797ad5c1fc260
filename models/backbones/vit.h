// Vision transformer (Dosovitskiy et al., 2021) as timm has it, and DINOv2 (Oquab et al., 2023;
// with registers: Darcet et al., 2024), with timm's parameter names. Read next:
// transformer_layers.h, position_embedding.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/backbones/layouts.h"
#include "models/interface/classifier.h"
#include "models/layers/position_embedding.h"
#include "models/layers/transformer_layers.h"

namespace podium::models {

// Attention and MLP, each x + drop_path(layer_scale(f(norm(x)))). Shapes: (B, N, C) -> same.
class VitBlockImpl : public torch::nn::Module {
 public:
  VitBlockImpl(const VitLayout& layout, double drop_path_rate);
  torch::Tensor forward(const torch::Tensor& tokens);

 private:
  LayerNorm norm1_{nullptr}, norm2_{nullptr};
  Attention attn_{nullptr};
  LayerScale ls1_{nullptr}, ls2_{nullptr};  // null: none
  Mlp mlp_{nullptr};
  double drop_path_rate_;
};
TORCH_MODULE(VitBlock);

// How the tokens after the last block become features; `pool` in recipes.
enum class VitPool {
  kToken,         // "token", the model's own: the class token
  kAverage,       // "avg": mean of the patches, normalised afterwards (fc_norm takes norm's place)
  kTokenAverage,  // "token_avg": class token and mean of the patches, 2 C values; own
                  // to DINOv2 in the namings of transformers and its repository
  kLastFour,      // "last4": class tokens after each of the last four blocks, and the mean of the
                  // patches, 5 C values (DINOv2's linear classifier on four blocks)
};

// Shapes: images (B, in_channels, H, W), sides multiples of the patch size -> logits (B, K),
// features (B, C, 2 C or 5 C). The position table is resampled to the images' grid in each forward
// pass, by the rule of options().naming.
// Errors: UsageError for other sides and unknown pools.
class Vit : public Classifier, public Initialised {
 public:
  Vit(const ModelOptions& options, const VitLayout& layout);
  ModelOutput forward(const torch::Tensor& images) override;
  torch::Tensor forward_features(const torch::Tensor& images) override;
  ModelOutput forward_head(const torch::Tensor& features) override;
  torch::Tensor feature_map(const torch::Tensor& features, int64_t height,
                            int64_t width) const override;
  // One map, the patches' after the last block.
  std::vector<torch::Tensor> forward_pyramid(const torch::Tensor& images) override;
  std::vector<int64_t> pyramid_channels() const override { return {layout_.num_channels}; }
  std::vector<double> pyramid_strides() const override {
    return {static_cast<double>(layout_.patch_size)};
  }
  int64_t map_channels() const override { return layout_.num_channels; }
  std::string head_name() const override { return "head"; }
  std::vector<std::string> left_out_names() const override {
    return lacks_last_norm() ? std::vector<std::string>{"norm", "fc_norm"}
                             : std::vector<std::string>{};
  }
  std::string first_convolution() const override { return "patch_embed.proj.weight"; }
  LayerPatterns layer_patterns() const override {
    return {
        .stem = "cls_token|pos_embed|patch_embed", .block = R"(blocks\.(\d+))", .closing = "norm"};
  }
  std::vector<std::string> no_decay_keywords() const override { return {"cls_token", "pos_embed"}; }
  // Resamples the position table as timm does when it loads.
  void adapt_weights(StateDict& weights) const override;
  std::vector<ParameterRule> parameter_rules() override;

 private:
  // Tokens before the first block. Shapes: -> (B, prefix + patches, C).
  torch::Tensor embed(const torch::Tensor& images);
  // Tokens after the last block, and appended to `last_four` those after each of the last four.
  torch::Tensor run_blocks(const torch::Tensor& images, std::vector<torch::Tensor>* last_four);
  ModelOutput classify(const torch::Tensor& features);

  VitLayout layout_;
  VitPool pool_;
  int64_t num_prefix_;            // class token and registers
  int64_t num_prefix_positions_;  // rows of the position table before the patches'
  torch::Tensor cls_token_, reg_token_, pos_embed_;
  PatchEmbedding patch_embed_{nullptr};
  std::vector<VitBlock> blocks_;
  LayerNorm norm_{nullptr};
  Linear head_{nullptr};
};

}  // namespace podium::models
