// EfficientNet-b0 to -b7 (Tan and Le, 2019) with timm's parameter names, in timm's own form and in
// the form of the TensorFlow weights ("tf_"). Read next: classifier.h, tresnet.h (squeeze and
// excitation).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "models/backbones/layouts.h"
#include "models/backbones/tresnet.h"
#include "models/interface/classifier.h"
#include "models/layers/batch_norm.h"
#include "models/layers/layers.h"

namespace podium::models {

// Depthwise convolution with squeeze and excitation, between two pointwise convolutions, or before
// one when the block does not expand.
// Shapes: (B, C, h, w) -> (B, out_channels, ceil(h / stride), ceil(w / stride)).
class MobileBlockImpl : public torch::nn::Module {
 public:
  struct Options {
    int64_t in_channels = 0, out_channels = 0;
    int64_t expansion = 6;  // factor of the channels between
    int64_t kernel_size = 3, stride = 1;
    bool is_tf = false;
    double drop_path_rate = 0.0;
  };
  explicit MobileBlockImpl(const Options& options);
  torch::Tensor forward(const torch::Tensor& input);

 private:
  Options options_;
  Conv2d expand_{nullptr}, depthwise_{nullptr}, project_{nullptr};
  BatchNorm2d expand_norm_{nullptr}, depthwise_norm_{nullptr}, project_norm_{nullptr};
  SqueezeExcite squeeze_{nullptr};
};
TORCH_MODULE(MobileBlock);

// Shapes: images (B, in_channels, H, W) of any size -> logits (B, K), features (B, D), unpooled
// (B, D, H / 32, W / 32).
class EfficientNet : public Classifier {
 public:
  EfficientNet(const ModelOptions& options, const EfficientNetLayout& layout);
  torch::Tensor forward_features(const torch::Tensor& images) override;
  ModelOutput forward_head(const torch::Tensor& map) override;
  // Before the last convolution.
  std::vector<torch::Tensor> forward_pyramid(const torch::Tensor& images) override;
  std::vector<int64_t> pyramid_channels() const override { return pyramid_channels_; }
  int64_t map_channels() const override { return map_channels_; }
  std::string head_name() const override { return "classifier"; }
  std::vector<std::string> left_out_names() const override {
    return options().is_encoder ? std::vector<std::string>{"conv_head", "bn2"}
                                : std::vector<std::string>{};
  }
  std::string first_convolution() const override { return "conv_stem.weight"; }
  LayerPatterns layer_patterns() const override {
    return {
        .stem = "conv_stem|bn1", .block = R"(blocks\.(\d+)\.(\d+))", .closing = "conv_head|bn2"};
  }

 private:
  static constexpr size_t kNumStages = 7;

  bool is_tf_;
  Conv2d stem_{nullptr}, last_{nullptr};
  BatchNorm2d stem_norm_{nullptr}, last_norm_{nullptr};
  std::array<std::vector<MobileBlock>, kNumStages> stages_;
  std::vector<int64_t> pyramid_channels_;
  int64_t map_channels_ = 0;
  Linear classifier_{nullptr};
};

}  // namespace podium::models
