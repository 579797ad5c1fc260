// The layers that models are made of, with torch.nn's parameter names and arithmetic. Unlike
// libtorch's own they are created without values (init.h draws them by name). Read next:
// batch_norm.h, resnet.h.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <vector>

#include "models/layers/init.h"

namespace podium::models {

// First values of a convolution's or linear layer's weight.
enum class WeightInit {
  kKaimingNormalFanOut,  // N(0, sqrt(2 / (out * kh * kw))), as torchvision's ResNet
  kKaimingUniformFanIn,  // U(+-sqrt(6 / fan_in)), as segmentation_models_pytorch's decoders
  kXavierUniform,        // U(+-sqrt(6 / (fan_in + fan_out))), as its heads
  kTorchDefault,  // U(+-1 / sqrt(fan_in)), weight and bias, as torch.nn's layers by themselves
  kKaimingNormalGroups,  // N(0, sqrt(2 / (out * kh * kw / groups))), as timm's EfficientNet
  kUniformFanOut,        // U(+-1 / sqrt(out)), as timm's EfficientNet classifies
  kNormal02,             // N(0, 0.02), as timm's vision transformers (their cut at +-2 never acts)
};

// The same map in the layout in which convolutions, norms and poolings are quickest where it lies:
// float32 on the host with the channels innermost; others stay as they are.
// Shapes: (B, C, H, W) -> same.
torch::Tensor in_quick_layout(const torch::Tensor& map);

struct Conv2dOptions {
  int64_t in_channels = 0;
  int64_t out_channels = 0;
  int64_t kernel_size = 1;  // px, square
  int64_t stride = 1;
  int64_t padding = 0;  // px, zeros on each side
  int64_t groups = 1;   // in_channels and out_channels are multiples of it
  bool has_bias = false;
  WeightInit init = WeightInit::kKaimingNormalFanOut;
  bool has_drawn_bias = false;  // by torch.nn's own rule, whatever the weight's
};

// Shapes: (B, C, H, W) -> (B, out_channels, H', W').
class Conv2dImpl : public torch::nn::Module, public Initialised {
 public:
  explicit Conv2dImpl(Conv2dOptions options);
  torch::Tensor forward(const torch::Tensor& input);
  std::vector<ParameterRule> parameter_rules() override;

  torch::Tensor weight, bias;  // bias undefined when there is none

 private:
  Conv2dOptions options_;
};
TORCH_MODULE(Conv2d);

// What a linear layer has besides its sizes.
struct LinearOptions {
  WeightInit init = WeightInit::kTorchDefault;
  bool has_bias = true;
  double gain = 1.0;            // factor on the first values of the weight
  bool has_drawn_bias = false;  // by torch.nn's own rule, whatever the weight's
};

// Shapes: (..., in_features) -> (..., out_features).
class LinearImpl : public torch::nn::Module, public Initialised {
 public:
  LinearImpl(int64_t in_features, int64_t out_features,
             WeightInit init = WeightInit::kTorchDefault);
  LinearImpl(int64_t in_features, int64_t out_features, LinearOptions options);
  torch::Tensor forward(const torch::Tensor& input);
  std::vector<ParameterRule> parameter_rules() override;

  torch::Tensor weight, bias;  // bias undefined when there is none

 private:
  LinearOptions options_;
};
TORCH_MODULE(Linear);

// Group normalisation over (C / num_groups, H, W) of each sample. Shapes: (B, C, H, W) -> same.
class GroupNormImpl : public torch::nn::Module, public Initialised {
 public:
  GroupNormImpl(int64_t num_groups, int64_t num_channels, double eps = 1e-5);
  torch::Tensor forward(const torch::Tensor& input);
  std::vector<ParameterRule> parameter_rules() override;

  torch::Tensor weight, bias;

 private:
  int64_t num_groups_;
  double eps_;
};
TORCH_MODULE(GroupNorm);

}  // namespace podium::models
