// Semantic segmentation by a feature pyramid network on any backbone (Kirillov et al., "Panoptic
// feature pyramid networks", 2019), layer for layer and name for name segmentation_models_pytorch's
// FPN. Read next: pyramid.h.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/heads/pyramid.h"
#include "models/layers/layers.h"

namespace podium::models {

// 3x3 convolution, group norm, ReLU, then bilinear to `size`. Shapes: (B, C, h, w) -> (B, C',
// size).
class FpnConvolutionImpl : public torch::nn::Module {
 public:
  FpnConvolutionImpl(int64_t in_channels, int64_t out_channels);
  torch::Tensor forward(const torch::Tensor& input, at::IntArrayRef size);

 private:
  Conv2d convolution_{nullptr};
  GroupNorm norm_{nullptr};
};
TORCH_MODULE(FpnConvolution);

// From the backbone's four maps to one of the finest's size. Every map is brought to the size of
// the next finer one, which doubles it where sides are multiples of the coarsest stride.
// Shapes: -> (B, kSegmentationChannels, h, w).
class FpnDecoderImpl : public torch::nn::Module {
 public:
  static constexpr int64_t kPyramidChannels = 256;
  static constexpr int64_t kSegmentationChannels = 128;

  // `channels`: of the maps, the finest first.
  FpnDecoderImpl(const std::vector<int64_t>& channels, double drop_rate);
  torch::Tensor forward(const std::vector<torch::Tensor>& maps);

 private:
  std::array<Conv2d, 4> laterals_{nullptr, nullptr, nullptr,
                                  nullptr};              // coarsest first: p5, p4, p3, p2
  std::array<std::vector<FpnConvolution>, 4> branches_;  // coarsest first
  double drop_rate_;
};
TORCH_MODULE(FpnDecoder);

// Shapes: images (B, in_channels, H, W) of any size that the encoder takes -> logits (B, K, H, W),
// features (B, 128, h, w) with the finest map's size.
// The decoder drops whole channels at the published rate 0.2; a drop_rate other than 0 takes its
// place.
// Differs: sides need not be multiples of 32, because maps are brought to each other's size.
class Fpn : public PyramidModel {
 public:
  // Requires: `encoder` was built with is_encoder.
  Fpn(const ModelOptions& options, std::shared_ptr<VisionModel> encoder);
  ModelOutput forward(const torch::Tensor& images) override;
  std::vector<std::string> head_prefixes() const override { return {"segmentation_head."}; }

 private:
  FpnDecoder decoder_{nullptr};
  Conv2d classifier_{nullptr};
};

}  // namespace podium::models
