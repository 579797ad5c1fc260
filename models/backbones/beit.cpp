// BEiT.
#include "models/backbones/beit.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "models/backbones/families.h"

namespace podium::models {
namespace {

constexpr int64_t kPatchSize = 16;  // px
constexpr int64_t kMlpRatio = 4;
constexpr int64_t kNumClassOffsets = 3;  // rows of a table for pairs with the class token
constexpr double kTransformersNormEps = 1e-12;
constexpr double kHeadGain = 0.001;

torch::Tensor empty_table(Grid grid, int64_t num_heads) {
  return torch::empty({(2 * grid[0] - 1) * (2 * grid[1] - 1) + kNumClassOffsets, num_heads});
}

}  // namespace

RelativePositionsImpl::RelativePositionsImpl(Grid grid, int64_t num_heads) {
  relative_position_bias_table =
      register_parameter("relative_position_bias_table", empty_table(grid, num_heads));
}

std::vector<ParameterRule> RelativePositionsImpl::parameter_rules() {
  return {
      {"relative_position_bias_table", relative_position_bias_table, Distribution::kConstant, 0.0}};
}

BeitAttentionImpl::BeitAttentionImpl(AttentionOptions options, std::optional<Grid> grid)
    : AttentionProjectionsImpl(options) {
  if (!grid) return;
  relative_position_bias_table_ =
      register_parameter("relative_position_bias_table", empty_table(*grid, options.num_heads));
}

torch::Tensor BeitAttentionImpl::forward(const torch::Tensor& tokens, const torch::Tensor& index,
                                         const torch::Tensor& shared_bias) {
  const torch::Tensor bias = relative_position_bias_table_.defined()
                                 ? relative_bias(relative_position_bias_table_, index)
                                 : shared_bias;
  return join(attend(split(tokens), bias.unsqueeze(0)));
}

std::vector<ParameterRule> BeitAttentionImpl::parameter_rules() {
  std::vector<ParameterRule> rules = AttentionProjectionsImpl::parameter_rules();
  if (relative_position_bias_table_.defined()) {
    rules.push_back({"relative_position_bias_table", relative_position_bias_table_,
                     Distribution::kConstant, 0.0});
  }
  return rules;
}

BeitBlockImpl::BeitBlockImpl(const BeitLayout& layout, Grid grid, int64_t number,
                             double drop_path_rate)
    : layer_scale_(layout.layer_scale), drop_path_rate_(drop_path_rate) {
  const int64_t num_channels = layout.num_channels;
  const double gain = 1.0 / std::sqrt(2.0 * static_cast<double>(number + 1));
  gamma_1_ = register_parameter("gamma_1", torch::empty({num_channels}));
  gamma_2_ = register_parameter("gamma_2", torch::empty({num_channels}));
  norm1_ = register_module("norm1", LayerNorm(num_channels, layout.norm_eps));
  attn_ = register_module(
      "attn", BeitAttention(AttentionOptions{.num_channels = num_channels,
                                             .num_heads = layout.num_heads,
                                             .has_split_bias = true,
                                             .output_gain = gain},
                            layout.has_shared_table ? std::nullopt : std::optional<Grid>(grid)));
  norm2_ = register_module("norm2", LayerNorm(num_channels, layout.norm_eps));
  mlp_ = register_module("mlp", Mlp(num_channels, kMlpRatio * num_channels, MlpKind::kGelu, gain));
}

torch::Tensor BeitBlockImpl::forward(const torch::Tensor& tokens, const torch::Tensor& index,
                                     const torch::Tensor& shared_bias) {
  const auto add = [this](const torch::Tensor& x, const torch::Tensor& branch) {
    return x + drop_path(branch, drop_path_rate_, is_training());
  };
  const torch::Tensor x = add(tokens, gamma_1_ * attn_(norm1_(tokens), index, shared_bias));
  return add(x, gamma_2_ * mlp_(norm2_(x)));
}

std::vector<ParameterRule> BeitBlockImpl::parameter_rules() {
  return {{"gamma_1", gamma_1_, Distribution::kConstant, layer_scale_},
          {"gamma_2", gamma_2_, Distribution::kConstant, layer_scale_}};
}

Beit::Beit(const ModelOptions& options, const BeitLayout& layout)
    : Classifier(options), layout_(layout), has_mean_pool_(options.pool != "token") {
  if (has_mean_pool_ && !options.pool.empty() && options.pool != "avg") {
    throw UsageError(fmt::format("model {}: unknown pool \"{}\"; pools are avg, token",
                                 options.name, options.pool));
  }
  if (options.naming == "transformers") layout_.norm_eps = kTransformersNormEps;
  if (options.image_size > 0) layout_.image_size = options.image_size;
  if (layout_.image_size % kPatchSize != 0) {
    throw UsageError(fmt::format("model {}: image_size is {}, expected a multiple of {}",
                                 options.name, layout_.image_size, kPatchSize));
  }
  const int64_t side = layout_.image_size / kPatchSize, num_channels = layout.num_channels;
  grid_ = {side, side};
  index_ = relative_position_index(grid_, /*has_class_token=*/true);
  cls_token_ = register_parameter("cls_token", torch::empty({1, 1, num_channels}));
  patch_embed_ = register_module(
      "patch_embed", PatchEmbedding(PatchEmbeddingOptions{.in_channels = options.in_channels,
                                                          .patch_size = kPatchSize,
                                                          .num_channels = num_channels}));
  if (layout.has_shared_table) {
    rel_pos_bias_ = register_module("rel_pos_bias", RelativePositions(grid_, layout.num_heads));
  }
  auto container = register_module("blocks", std::make_shared<torch::nn::Module>());
  const std::vector<double> rates = drop_path_rates(options.drop_path_rate, layout.depth);
  for (int64_t i = 0; i < layout.depth; ++i) {
    blocks_.push_back(container->register_module(
        std::to_string(i), BeitBlock(layout_, grid_, i, rates[static_cast<size_t>(i)])));
  }
  if (lacks_last_norm()) return;
  norm_ = register_module(has_mean_pool_ ? "fc_norm" : "norm",
                          LayerNorm(num_channels, layout_.norm_eps));
  if (options.num_classes == 0) return;
  head_ = register_module("head",
                          Linear(num_channels, options.num_classes,
                                 LinearOptions{.init = WeightInit::kNormal02, .gain = kHeadGain}));
}

void Beit::check_size(const torch::Tensor& images) const {
  check_images(images);
  const int64_t size = layout_.image_size;
  if (images.size(2) == size && images.size(3) == size) return;
  throw UsageError(fmt::format(
      "model {}: images are {} x {} px, expected {} x {}; resize them, or set image_size (a "
      "multiple of {}) to theirs",
      options().name, images.size(2), images.size(3), size, size, kPatchSize));
}

torch::Tensor Beit::run_blocks(const torch::Tensor& images) {
  check_size(images);
  if (index_.device() != images.device()) index_ = index_.to(images.device());
  const torch::Tensor patches = patch_embed_(images).flatten(1, 2);
  torch::Tensor x = at::cat({cls_token_.expand({images.size(0), -1, -1}), patches}, 1);
  torch::Tensor shared_bias;
  if (rel_pos_bias_) {
    shared_bias = relative_bias(rel_pos_bias_->relative_position_bias_table, index_);
  }
  for (BeitBlock& block : blocks_) {
    x = run_block(x, [block, index = index_, shared_bias](const torch::Tensor& input) mutable {
      return block(input, index, shared_bias);
    });
  }
  return x;
}

torch::Tensor Beit::forward_features(const torch::Tensor& images) {
  const torch::Tensor x = run_blocks(images);
  return has_mean_pool_ || !norm_ ? x : norm_(x);
}

std::vector<torch::Tensor> Beit::forward_pyramid(const torch::Tensor& images) {
  return {feature_map(run_blocks(images), images.size(2), images.size(3))};
}

std::vector<double> Beit::pyramid_strides() const { return {static_cast<double>(kPatchSize)}; }

ModelOutput Beit::forward_head(const torch::Tensor& features) {
  const torch::Tensor pooled =
      has_mean_pool_ ? norm_(features.slice(1, 1).mean(1)) : features.select(1, 0);
  if (!head_) return {pooled, pooled, features};
  return {head_(at::dropout(pooled, options().drop_rate, is_training())), pooled, features};
}

torch::Tensor Beit::feature_map(const torch::Tensor& features, int64_t, int64_t) const {
  return features.slice(1, 1).transpose(1, 2).unflatten(2, grid_);
}

void Beit::adapt_weights(StateDict& weights) const {
  drop_position_buffers(weights);
  for (auto& [name, tensor] : weights) {
    if (!name.ends_with("relative_position_bias_table") || tensor.dim() != 2) continue;
    tensor = resize_relative_table(tensor, grid_, kNumClassOffsets);
  }
}

std::vector<ParameterRule> Beit::parameter_rules() {
  return {{"cls_token", cls_token_, Distribution::kNormal, 0.02}};
}

std::shared_ptr<VisionModel> create_beit(const ModelOptions& options) {
  return std::make_shared<Beit>(options, beit_layout(options.name));
}

}  // namespace podium::models
