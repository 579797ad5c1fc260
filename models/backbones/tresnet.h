// TResNet (Ridnik et al., "TResNet: high performance GPU-dedicated architecture", 2020), M, L, XL
// and v2-L, with timm's parameter names; the official repository's are a naming of its entries.
// Read next: classifier.h, naming.h.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "models/backbones/layouts.h"
#include "models/interface/classifier.h"
#include "models/layers/batch_norm.h"
#include "models/layers/layers.h"

namespace podium::models {

// Convolution, batch norm, and a leaky ReLU where `slope` is not negative; with stride 2 a blur
// after it takes every second place. In-place ABN's published weights are turned into batch norm's
// when official files are read.
// Shapes: (B, C, h, w) -> (B, out_channels, ceil(h / stride), ceil(w / stride)).
class BlurredConvolutionImpl : public torch::nn::Module {
 public:
  // `norm_weight`: first value of the norm's weight.
  BlurredConvolutionImpl(int64_t in_channels, int64_t out_channels, int64_t kernel_size,
                         int64_t stride, double slope, double norm_weight = 1.0);
  torch::Tensor forward(const torch::Tensor& input);

 private:
  Conv2d convolution_{nullptr};
  BatchNorm2d norm_{nullptr};
  int64_t stride_;
  double slope_;
};
TORCH_MODULE(BlurredConvolution);

// Channels scaled by a function of their means: x * sigmoid(expand(act(reduce(mean(x))))).
// Shapes: (B, C, h, w) -> same.
class SqueezeExciteImpl : public torch::nn::Module {
 public:
  struct Options {
    int64_t num_channels = 0;
    int64_t num_reduced = 0;
    const char* reduce_name = "fc1";
    const char* expand_name = "fc2";
    bool is_silu = false;         // false: ReLU between the two
    bool has_drawn_bias = false;  // first values of the biases: torch.nn's rule, or 0
  };
  explicit SqueezeExciteImpl(const Options& options);
  torch::Tensor forward(const torch::Tensor& input);

 private:
  Conv2d reduce_{nullptr}, expand_{nullptr};
  bool is_silu_;
};
TORCH_MODULE(SqueezeExcite);

// Shapes: (B, C, h, w) -> (B, planes or 4 * planes, ceil(h / stride), ceil(w / stride)).
class TResNetBlockImpl : public torch::nn::Module {
 public:
  struct Options {
    int64_t in_channels = 0;
    int64_t planes = 0;
    int64_t stride = 1;
    bool is_bottleneck = true;
    bool has_squeeze = true;
    double slope = 0.0;
    double drop_path_rate = 0.0;
    int64_t out_channels() const { return is_bottleneck ? 4 * planes : planes; }
  };
  explicit TResNetBlockImpl(const Options& options);
  torch::Tensor forward(const torch::Tensor& input);

 private:
  Options options_;
  std::vector<BlurredConvolution> convolutions_;
  SqueezeExcite squeeze_{nullptr};
  BlurredConvolution shortcut_{nullptr};  // null: the shortcut is the identity
};
TORCH_MODULE(TResNetBlock);

// Shapes: images (B, in_channels, H, W), in [0, 1] without normalisation, H and W multiples of 4 ->
// logits (B, K), features (B, D), unpooled (B, D, H / 32, W / 32).
// Naming "timm": slopes 1e-2 in the stem and 1e-3 in blocks; "official": 1e-6 everywhere in v2.
class TResNet : public Classifier {
 public:
  TResNet(const ModelOptions& options, const TResNetLayout& layout);
  torch::Tensor forward_features(const torch::Tensor& images) override;
  ModelOutput forward_head(const torch::Tensor& map) override;
  std::vector<torch::Tensor> forward_pyramid(const torch::Tensor& images) override;
  std::vector<int64_t> pyramid_channels() const override { return channels_; }
  int64_t map_channels() const override { return channels_.back(); }
  std::string head_name() const override { return "head"; }
  std::string first_convolution() const override { return "body.conv1.conv.weight"; }
  LayerPatterns layer_patterns() const override {
    return {.stem = R"(body\.conv1)", .block = R"(body\.layer(\d+)\.(\d+))"};
  }
  void adapt_weights(StateDict& weights) const override;

 private:
  BlurredConvolution stem_{nullptr};
  std::array<std::vector<TResNetBlock>, 4> stages_;
  std::vector<int64_t> channels_;
  Linear fc_{nullptr};
};

}  // namespace podium::models
