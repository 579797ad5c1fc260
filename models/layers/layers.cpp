// Convolution, linear and group-norm layers.
#include "models/layers/layers.h"

#include <cmath>

#include "models/layers/linear_product.h"

namespace podium::models {
namespace {

ParameterRule weight_rule(const torch::Tensor& weight, WeightInit init, int64_t groups = 1) {
  const double receptive = weight.dim() > 2 ? double(weight.size(2) * weight.size(3)) : 1.0;
  const double fan_in = double(weight.size(1)) * receptive;
  const double fan_out = double(weight.size(0)) * receptive;
  switch (init) {
    case WeightInit::kKaimingNormalFanOut:
      return {"weight", weight, Distribution::kNormal, std::sqrt(2.0 / fan_out)};
    case WeightInit::kKaimingNormalGroups:
      return {"weight", weight, Distribution::kNormal,
              std::sqrt(2.0 * static_cast<double>(groups) / fan_out)};
    case WeightInit::kKaimingUniformFanIn:
      return {"weight", weight, Distribution::kUniform, std::sqrt(6.0 / fan_in)};
    case WeightInit::kXavierUniform:
      return {"weight", weight, Distribution::kUniform, std::sqrt(6.0 / (fan_in + fan_out))};
    case WeightInit::kUniformFanOut:
      return {"weight", weight, Distribution::kUniform, 1.0 / std::sqrt(fan_out)};
    case WeightInit::kNormal02:
      return {"weight", weight, Distribution::kNormal, 0.02};
    case WeightInit::kTorchDefault:
      break;
  }
  return {"weight", weight, Distribution::kUniform, 1.0 / std::sqrt(fan_in)};
}

// torch.nn's own rule draws the bias too; the published initialisations of models set it to 0.
ParameterRule bias_rule(const torch::Tensor& bias, const torch::Tensor& weight, WeightInit init,
                        bool is_drawn) {
  if (init != WeightInit::kTorchDefault && !is_drawn) {
    return {"bias", bias, Distribution::kConstant, 0.0};
  }
  const ParameterRule rule = weight_rule(weight, WeightInit::kTorchDefault);
  return {"bias", bias, rule.distribution, rule.scale};
}

}  // namespace

torch::Tensor in_quick_layout(const torch::Tensor& map) {
  const bool is_host_float = map.device().is_cpu() && map.scalar_type() == torch::kFloat32;
  return is_host_float ? map.contiguous(at::MemoryFormat::ChannelsLast) : map;
}

Conv2dImpl::Conv2dImpl(Conv2dOptions options) : options_(options) {
  weight = register_parameter(
      "weight", torch::empty({options.out_channels, options.in_channels / options.groups,
                              options.kernel_size, options.kernel_size}));
  if (options.has_bias) bias = register_parameter("bias", torch::empty({options.out_channels}));
}

torch::Tensor Conv2dImpl::forward(const torch::Tensor& input) {
  const bool is_pointwise = options_.kernel_size == 1 && options_.stride == 1 &&
                            options_.padding == 0 && options_.groups == 1;
  if (is_pointwise && input.device().is_cpu() &&
      input.suggest_memory_format() == at::MemoryFormat::ChannelsLast) {
    return linear_product(input.permute({0, 2, 3, 1}), weight.flatten(1), bias)
        .permute({0, 3, 1, 2});
  }
  return at::conv2d(input, weight, bias, {options_.stride, options_.stride},
                    {options_.padding, options_.padding}, {1, 1}, options_.groups);
}

std::vector<ParameterRule> Conv2dImpl::parameter_rules() {
  std::vector<ParameterRule> rules{weight_rule(weight, options_.init, options_.groups)};
  if (bias.defined()) {
    rules.push_back(bias_rule(bias, weight, options_.init, options_.has_drawn_bias));
  }
  return rules;
}

LinearImpl::LinearImpl(int64_t in_features, int64_t out_features, WeightInit init)
    : LinearImpl(in_features, out_features, LinearOptions{.init = init}) {}

LinearImpl::LinearImpl(int64_t in_features, int64_t out_features, LinearOptions options)
    : options_(options) {
  weight = register_parameter("weight", torch::empty({out_features, in_features}));
  if (options.has_bias) bias = register_parameter("bias", torch::empty({out_features}));
}

torch::Tensor LinearImpl::forward(const torch::Tensor& input) {
  return linear_product(input, weight, bias);
}

std::vector<ParameterRule> LinearImpl::parameter_rules() {
  std::vector<ParameterRule> rules{weight_rule(weight, options_.init)};
  rules[0].scale *= options_.gain;
  if (bias.defined()) {
    rules.push_back(bias_rule(bias, weight, options_.init, options_.has_drawn_bias));
  }
  return rules;
}

GroupNormImpl::GroupNormImpl(int64_t num_groups, int64_t num_channels, double eps)
    : num_groups_(num_groups), eps_(eps) {
  weight = register_parameter("weight", torch::ones({num_channels}));
  bias = register_parameter("bias", torch::zeros({num_channels}));
}

torch::Tensor GroupNormImpl::forward(const torch::Tensor& input) {
  return at::group_norm(input, num_groups_, weight, bias, eps_);
}

std::vector<ParameterRule> GroupNormImpl::parameter_rules() {
  return {{"weight", weight, Distribution::kConstant, 1.0},
          {"bias", bias, Distribution::kConstant, 0.0}};
}

}  // namespace podium::models
