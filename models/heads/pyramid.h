// Four feature maps of any backbone, and the base of the models that predict maps from them. Read
// next: vision_model.h (forward_pyramid).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/interface/vision_model.h"
#include "models/layers/layers.h"
#include "models/layers/transformer_layers.h"

namespace podium::models {

// A transposed 2 x 2 convolution of stride 2. Shapes: (B, C, h, w) -> (B, out_channels, 2 h, 2 w).
class DoublingConvolutionImpl : public torch::nn::Module, public Initialised {
 public:
  DoublingConvolutionImpl(int64_t in_channels, int64_t out_channels);
  torch::Tensor forward(const torch::Tensor& map);
  std::vector<ParameterRule> parameter_rules() override;

  torch::Tensor weight, bias;  // (C, out_channels, 2, 2), (out_channels)
};
TORCH_MODULE(DoublingConvolution);

// Normalisation over the channels of each place. Shapes: (B, C, h, w) -> same.
class ChannelNormImpl : public LayerNormImpl {
 public:
  explicit ChannelNormImpl(int64_t num_channels);
  torch::Tensor forward(const torch::Tensor& map);
};
TORCH_MODULE(ChannelNorm);

// Four maps from the one map of a plain transformer (Li et al., "Exploring plain vision transformer
// backbones for object detection", 2022), layer for layer and name for name detectron2's
// SimpleFeaturePyramid; its names simfp_2 .. simfp_5 are right for patches of 16 px and are kept
// for others.
class SimplePyramidImpl : public torch::nn::Module {
 public:
  static constexpr int64_t kChannels = 256;  // of each map
  static constexpr std::array<double, 4> kScales{4, 2, 1, 0.5};

  // `num_channels`: a multiple of 4.
  explicit SimplePyramidImpl(int64_t num_channels);
  // Shapes: map (B, C, h, w) -> (B, kChannels, h', w') with h' = 4 h, 2 h, h, h / 2, the last
  // rounded down. `model` and `images` are for the error of halve_map().
  std::vector<torch::Tensor> forward(const torch::Tensor& map, const std::string& model,
                                     const torch::Tensor& images);

 private:
  struct Level {
    DoublingConvolution doubling{nullptr}, second_doubling{nullptr};  // null: none
    ChannelNorm doubling_norm{nullptr};                               // between the two
    Conv2d narrowing{nullptr}, smoothing{nullptr};
    ChannelNorm narrowing_norm{nullptr}, smoothing_norm{nullptr};
  };
  std::array<Level, 4> levels_;  // as kScales
};
TORCH_MODULE(SimplePyramid);

// A model around an encoder of which it reads four maps: the encoder's own, of strides 4 to 32, or
// those of a SimplePyramid, the child "neck", of 4, 2, 1 and 1/2 times its patches a side.
class PyramidModel : public VisionModel {
 public:
  // Requires: `encoder` was built with is_encoder. Errors: UsageError when the options choose a
  // pool: maps are not pooled.
  PyramidModel(const ModelOptions& options, std::shared_ptr<VisionModel> encoder);
  std::vector<torch::Tensor> forward_pyramid(const torch::Tensor& images) override;
  std::vector<int64_t> pyramid_channels() const override;
  std::vector<double> pyramid_strides() const override;
  std::string first_convolution() const override {
    return kEncoderPrefix + encoder_->first_convolution();
  }
  std::vector<std::string> no_decay_keywords() const override {
    return encoder_->no_decay_keywords();
  }
  void adapt_weights(StateDict& weights) const override;
  VisionModel& backbone() override { return *encoder_; }

 private:
  static constexpr const char* kEncoderPrefix = "encoder.";

  std::shared_ptr<VisionModel> encoder_;
  SimplePyramid neck_{nullptr};  // null: the encoder has four maps
};

}  // namespace podium::models
