// Multi-head attention, encoder and decoder layers.
#include "models/layers/attention_layers.h"

#include <cmath>

#include "models/layers/linear_product.h"

namespace podium::models {
namespace {

torch::Tensor plus(const torch::Tensor& x, const torch::Tensor& position) {
  return position.defined() ? x + position : x;
}

// Of the two that every layer has; their biases are drawn in either case.
Linear hidden_linear(int64_t in_features, int64_t out_features,
                     const TransformerLayerOptions& options) {
  return Linear(in_features, out_features,
                LinearOptions{.init = options.init, .has_drawn_bias = true});
}

// Its bias is 0. Fan in and fan out are equal, so that this rule is torch.nn's own for the weight.
Linear output_linear(const TransformerLayerOptions& options) {
  const bool is_default = options.init == WeightInit::kTorchDefault;
  return Linear(options.dim, options.dim,
                LinearOptions{.init = is_default ? WeightInit::kUniformFanOut : options.init});
}

}  // namespace

MultiheadAttentionImpl::MultiheadAttentionImpl(const TransformerLayerOptions& options)
    : num_heads_(options.num_heads), drop_rate_(options.drop_rate) {
  const int64_t dim = options.dim;
  in_proj_weight_ = register_parameter("in_proj_weight", torch::empty({3 * dim, dim}));
  in_proj_bias_ = register_parameter("in_proj_bias", torch::empty({3 * dim}));
  out_proj_ = register_module("out_proj", output_linear(options));
}

torch::Tensor MultiheadAttentionImpl::forward(const torch::Tensor& query, const torch::Tensor& key,
                                              const torch::Tensor& value) {
  const int64_t dim = in_proj_weight_.size(1);
  const auto project = [&](const torch::Tensor& x, int64_t part) {
    const torch::Tensor projected = linear_product(x, in_proj_weight_.narrow(0, part * dim, dim),
                                                   in_proj_bias_.narrow(0, part * dim, dim));
    // (B, L, D) -> (B, heads, L, D / heads)
    return projected.unflatten(2, {num_heads_, dim / num_heads_}).transpose(1, 2);
  };
  const torch::Tensor heads = at::scaled_dot_product_attention(
      project(query, 0), project(key, 1), project(value, 2), {}, is_training() ? drop_rate_ : 0.0);
  return out_proj_(heads.transpose(1, 2).flatten(2));
}

std::vector<ParameterRule> MultiheadAttentionImpl::parameter_rules() {
  const double fans = static_cast<double>(in_proj_weight_.size(0) + in_proj_weight_.size(1));
  return {{"in_proj_weight", in_proj_weight_, Distribution::kUniform, std::sqrt(6.0 / fans)},
          {"in_proj_bias", in_proj_bias_, Distribution::kConstant, 0.0}};
}

TransformerEncoderLayerImpl::TransformerEncoderLayerImpl(const TransformerLayerOptions& options)
    : drop_rate_(options.drop_rate) {
  self_attention_ = register_module("self_attn", MultiheadAttention(options));
  linear1_ = register_module("linear1", hidden_linear(options.dim, options.num_hidden, options));
  linear2_ = register_module("linear2", hidden_linear(options.num_hidden, options.dim, options));
  norm1_ = register_module("norm1", LayerNorm(options.dim));
  norm2_ = register_module("norm2", LayerNorm(options.dim));
}

torch::Tensor TransformerEncoderLayerImpl::forward(const torch::Tensor& x,
                                                   const torch::Tensor& position) {
  const auto drop = [this](const torch::Tensor& branch) {
    return at::dropout(branch, drop_rate_, is_training());
  };
  const torch::Tensor placed = plus(x, position);
  const torch::Tensor attended = norm1_(x + drop(self_attention_(placed, placed, x)));
  return norm2_(attended + drop(linear2_(drop(at::relu(linear1_(attended))))));
}

TransformerDecoderLayerImpl::TransformerDecoderLayerImpl(const TransformerLayerOptions& options,
                                                         QueryMixing mixing)
    : mixing_(mixing), drop_rate_(options.drop_rate) {
  if (mixing == QueryMixing::kSelfAttention) {
    self_attention_ = register_module("self_attn", MultiheadAttention(options));
  }
  if (mixing != QueryMixing::kNone) norm1_ = register_module("norm1", LayerNorm(options.dim));
  cross_attention_ = register_module("multihead_attn", MultiheadAttention(options));
  linear1_ = register_module("linear1", hidden_linear(options.dim, options.num_hidden, options));
  linear2_ = register_module("linear2", hidden_linear(options.num_hidden, options.dim, options));
  norm2_ = register_module("norm2", LayerNorm(options.dim));
  norm3_ = register_module("norm3", LayerNorm(options.dim));
}

torch::Tensor TransformerDecoderLayerImpl::forward(const torch::Tensor& x,
                                                   const torch::Tensor& memory,
                                                   const torch::Tensor& memory_position,
                                                   const torch::Tensor& query_position) {
  const auto drop = [this](const torch::Tensor& branch) {
    return at::dropout(branch, drop_rate_, is_training());
  };
  torch::Tensor y = x;
  if (mixing_ == QueryMixing::kSelfAttention) y = norm1_(y + drop(self_attention_(y, y, y)));
  if (mixing_ == QueryMixing::kDoubling) y = norm1_(y + drop(y));
  y = norm2_(
      y + drop(cross_attention_(plus(y, query_position), plus(memory, memory_position), memory)));
  return norm3_(y + drop(linear2_(drop(at::relu(linear1_(y))))));
}

}  // namespace podium::models
