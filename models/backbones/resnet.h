// ResNet v1.5 (He et al., 2016; the stride of a bottleneck lies in its 3x3 convolution) and ResNeXt
// (Xie et al., 2017) with the parameter names of timm and torchvision. Read next: registry.h,
// fpn.h.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/backbones/layouts.h"
#include "models/interface/classifier.h"
#include "models/layers/batch_norm.h"
#include "models/layers/layers.h"

namespace podium::models {

// One residual block: relu(f(x) + shortcut(x)).
// Shapes: (B, C, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride)).
class ResNetBlockImpl : public torch::nn::Module {
 public:
  ResNetBlockImpl(int64_t in_channels, int64_t width, int64_t stride, const ResNetLayout& layout,
                  double drop_path_rate);
  torch::Tensor forward(const torch::Tensor& input);
  static int64_t out_channels(int64_t width, bool is_bottleneck) {
    return is_bottleneck ? 4 * width : width;
  }

 private:
  std::vector<Conv2d> convolutions_;
  std::vector<BatchNorm2d> norms_;
  Conv2d shortcut_convolution_{nullptr};  // null: the shortcut is the identity
  BatchNorm2d shortcut_norm_{nullptr};
  double drop_path_rate_;
};
TORCH_MODULE(ResNetBlock);

// Shapes: images (B, in_channels, H, W) of any size -> logits (B, K), features (B, 512 or 2048).
// With num_classes 0 there is no head, and the logits are the features.
class ResNet : public Classifier {
 public:
  ResNet(const ModelOptions& options, const ResNetLayout& layout);
  torch::Tensor forward_features(const torch::Tensor& images) override;
  ModelOutput forward_head(const torch::Tensor& features) override;
  std::vector<torch::Tensor> forward_pyramid(const torch::Tensor& images) override;
  std::vector<int64_t> pyramid_channels() const override;
  int64_t map_channels() const override { return pyramid_channels().back(); }
  std::string head_name() const override { return "fc"; }
  std::string first_convolution() const override { return "conv1.weight"; }
  LayerPatterns layer_patterns() const override {
    return {.stem = "conv1|bn1", .block = R"(layer(\d+)\.(\d+))"};
  }

 private:
  Conv2d conv1_{nullptr};
  BatchNorm2d bn1_{nullptr};
  std::array<std::vector<ResNetBlock>, 4> stages_;
  Linear fc_{nullptr};
  bool is_bottleneck_;
};

}  // namespace podium::models
