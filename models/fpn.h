// Semantic segmentation by a feature pyramid network on a ResNet (Kirillov et al., "Panoptic
// feature pyramid networks", 2019), layer for layer and name for name segmentation_models_pytorch's
// FPN. Read next: resnet.h.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/layers.h"
#include "models/registry_entry.h"
#include "models/vision_model.h"

namespace podium::models {

// 3x3 convolution, group norm, ReLU and, when `has_upsampling`, bilinear doubling. Shapes: (B, C,
// H, W) -> (B, C', H or 2H, W or 2W).
class FpnConvolutionImpl : public torch::nn::Module {
 public:
  FpnConvolutionImpl(int64_t in_channels, int64_t out_channels, bool has_upsampling);
  torch::Tensor forward(const torch::Tensor& input);

 private:
  Conv2d convolution_{nullptr};
  GroupNorm norm_{nullptr};
  bool has_upsampling_;
};
TORCH_MODULE(FpnConvolution);

// From the backbone's four maps to one map of stride 4. Shapes: -> (B, kSegmentationChannels, H/4,
// W/4).
class FpnDecoderImpl : public torch::nn::Module {
 public:
  static constexpr int64_t kPyramidChannels = 256;
  static constexpr int64_t kSegmentationChannels = 128;

  // `channels`: of the maps of strides 4, 8, 16, 32.
  FpnDecoderImpl(const std::vector<int64_t>& channels, double drop_rate);
  torch::Tensor forward(const std::vector<torch::Tensor>& maps);

 private:
  std::array<Conv2d, 4> laterals_{nullptr, nullptr, nullptr,
                                  nullptr};              // coarsest first: p5, p4, p3, p2
  std::array<std::vector<FpnConvolution>, 4> branches_;  // coarsest first
  double drop_rate_;
};
TORCH_MODULE(FpnDecoder);

// Shapes: images (B, in_channels, H, W) -> logits (B, K, H, W), features (B, 128, H/4, W/4).
// The decoder drops whole channels at the published rate 0.2; a drop_rate other than 0 takes its
// place. Errors: UsageError when H or W is not a multiple of 32.
class Fpn : public VisionModel {
 public:
  // `encoder`: a model without a head.
  Fpn(const ModelOptions& options, std::shared_ptr<VisionModel> encoder);
  ModelOutput forward(const torch::Tensor& images) override;
  std::vector<torch::Tensor> forward_pyramid(const torch::Tensor& images) override;
  std::vector<int64_t> pyramid_channels() const override { return encoder_->pyramid_channels(); }
  std::vector<std::string> head_prefixes() const override { return {"segmentation_head."}; }
  std::string first_convolution() const override {
    return "encoder." + encoder_->first_convolution();
  }
  std::vector<std::string> no_decay_keywords() const override {
    return encoder_->no_decay_keywords();
  }
  VisionModel& backbone() override { return *encoder_; }

 private:
  std::shared_ptr<VisionModel> encoder_;
  FpnDecoder decoder_{nullptr};
  Conv2d classifier_{nullptr};
};

// For registry.cpp.
RegistryEntries fpn_entries();

}  // namespace podium::models
