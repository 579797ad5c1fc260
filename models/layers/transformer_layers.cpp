// Layers of vision transformers.
#include "models/layers/transformer_layers.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "models/layers/linear_product.h"

namespace podium::models {

LayerNormImpl::LayerNormImpl(int64_t num_channels, double eps, double initial_weight)
    : eps_(eps), initial_weight_(initial_weight) {
  weight = register_parameter("weight", torch::empty({num_channels}));
  bias = register_parameter("bias", torch::empty({num_channels}));
}

torch::Tensor LayerNormImpl::forward(const torch::Tensor& input) {
  return at::layer_norm(input, weight.sizes(), weight, bias, eps_);
}

std::vector<ParameterRule> LayerNormImpl::parameter_rules() {
  return {{"weight", weight, Distribution::kConstant, initial_weight_},
          {"bias", bias, Distribution::kConstant, 0.0}};
}

LayerScaleImpl::LayerScaleImpl(int64_t num_channels, double initial_value)
    : initial_value_(initial_value) {
  gamma = register_parameter("gamma", torch::empty({num_channels}));
}

std::vector<ParameterRule> LayerScaleImpl::parameter_rules() {
  return {{"gamma", gamma, Distribution::kConstant, initial_value_}};
}

torch::Tensor drop_path(const torch::Tensor& branch, double rate, bool is_training) {
  if (rate == 0.0 || !is_training) return branch;
  std::vector<int64_t> shape(static_cast<size_t>(branch.dim()), 1);
  shape[0] = branch.size(0);
  const double keep = 1.0 - rate;
  return branch * branch.new_empty(shape).bernoulli_(keep).div_(keep);
}

std::vector<double> drop_path_rates(double last_rate, int64_t depth) {
  std::vector<double> rates(static_cast<size_t>(depth), 0.0);
  for (int64_t i = 1; i < depth; ++i) {
    rates[static_cast<size_t>(i)] =
        last_rate * static_cast<double>(i) / static_cast<double>(depth - 1);
  }
  return rates;
}

MlpImpl::MlpImpl(int64_t num_channels, int64_t num_hidden, MlpKind kind, double output_gain)
    : kind_(kind) {
  fc1_ = register_module("fc1", Linear(num_channels, num_hidden, WeightInit::kNormal02));
  const int64_t num_inner = kind == MlpKind::kSwiGluPacked ? num_hidden / 2 : num_hidden;
  fc2_ = register_module("fc2",
                         Linear(num_inner, num_channels,
                                LinearOptions{.init = WeightInit::kNormal02, .gain = output_gain}));
}

torch::Tensor MlpImpl::forward(const torch::Tensor& input) {
  const torch::Tensor hidden = fc1_(input);
  if (kind_ == MlpKind::kGelu) return fc2_(at::gelu(hidden));
  if (kind_ == MlpKind::kQuickGelu) return fc2_(hidden * at::sigmoid(1.702 * hidden));
  const std::vector<torch::Tensor> halves = hidden.chunk(2, -1);
  return fc2_(at::silu(halves[0]) * halves[1]);
}

void check_sides(const std::string& model, const torch::Tensor& images, int64_t multiple) {
  const int64_t height = images.size(2), width = images.size(3);
  if (height % multiple == 0 && width % multiple == 0) return;
  const auto above = [multiple](int64_t side) {
    return (side + multiple - 1) / multiple * multiple;
  };
  throw UsageError(fmt::format(
      "model {}: images are {} x {} px, expected sides that are multiples of {}; resize them to {} "
      "x {}",
      model, height, width, multiple, above(height), above(width)));
}

PatchEmbeddingImpl::PatchEmbeddingImpl(PatchEmbeddingOptions options) {
  proj_ = register_module("proj", Conv2d(Conv2dOptions{.in_channels = options.in_channels,
                                                       .out_channels = options.num_channels,
                                                       .kernel_size = options.patch_size,
                                                       .stride = options.patch_size,
                                                       .has_bias = true,
                                                       .init = WeightInit::kTorchDefault}));
  if (options.has_norm) norm_ = register_module("norm", LayerNorm(options.num_channels));
}

torch::Tensor PatchEmbeddingImpl::forward(const torch::Tensor& images) {
  const torch::Tensor tokens = proj_(images).permute({0, 2, 3, 1});
  return norm_ ? norm_(tokens) : tokens;
}

torch::Tensor attend(const AttentionHeads& heads, const std::optional<torch::Tensor>& bias,
                     std::optional<double> scale) {
  // No fused kernel of the host has a gradient for the bias, and what libtorch falls back to
  // passes over the weights once more to look for rows that are masked altogether.
  if (bias && bias->requires_grad() && bias->device().is_cpu() &&
      bias->scalar_type() == heads.query.scalar_type()) {
    const double factor = scale.value_or(1.0 / std::sqrt(static_cast<double>(heads.query.size(3))));
    const torch::Tensor query = factor == 1.0 ? heads.query : heads.query * factor;
    return query.matmul(heads.key.transpose(2, 3)).add_(*bias).softmax(3).matmul(heads.value);
  }
  return at::scaled_dot_product_attention(heads.query, heads.key, heads.value, bias,
                                          /*dropout_p=*/0.0, /*is_causal=*/false, scale);
}

AttentionProjectionsImpl::AttentionProjectionsImpl(AttentionOptions options) : options_(options) {
  const int64_t num_channels = options.num_channels;
  if (num_channels % options.num_heads != 0) {
    throw InternalError("the heads of an attention layer do not divide its channels");
  }
  qkv_ = register_module("qkv", Linear(num_channels, 3 * num_channels,
                                       LinearOptions{.init = WeightInit::kNormal02,
                                                     .has_bias = !options.has_split_bias}));
  if (options.has_split_bias) {
    q_bias_ = register_parameter("q_bias", torch::empty({num_channels}));
    v_bias_ = register_parameter("v_bias", torch::empty({num_channels}));
  }
  proj_ = register_module(
      "proj", Linear(num_channels, num_channels,
                     LinearOptions{.init = WeightInit::kNormal02, .gain = options.output_gain}));
}

torch::Tensor AttentionProjectionsImpl::project(const torch::Tensor& tokens) {
  torch::Tensor bias = qkv_->bias;
  if (options_.has_split_bias) bias = at::cat({q_bias_, at::zeros_like(q_bias_), v_bias_});
  return linear_product(tokens, qkv_->weight, bias)
      .reshape({tokens.size(0), tokens.size(1), 3, options_.num_heads,
                options_.num_channels / options_.num_heads})
      .permute({2, 0, 3, 1, 4});
}

AttentionHeads AttentionProjectionsImpl::split(const torch::Tensor& tokens) {
  // Not select: its gradient fills the two other parts with zeros.
  const std::vector<torch::Tensor> heads = project(tokens).unbind();
  return {heads[0], heads[1], heads[2]};
}

torch::Tensor AttentionProjectionsImpl::join(const torch::Tensor& values) {
  return proj_(values.transpose(1, 2).reshape({values.size(0), values.size(2), -1}));
}

std::vector<ParameterRule> AttentionProjectionsImpl::parameter_rules() {
  if (!options_.has_split_bias) return {};
  return {{"q_bias", q_bias_, Distribution::kConstant, 0.0},
          {"v_bias", v_bias_, Distribution::kConstant, 0.0}};
}

torch::Tensor AttentionImpl::forward(const torch::Tensor& tokens) {
  return join(attend(split(tokens)));
}

}  // namespace podium::models
