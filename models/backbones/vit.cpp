// ViT and DINOv2.
#include "models/backbones/vit.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "models/backbones/families.h"

namespace podium::models {
namespace {

constexpr double kNormEps = 1e-6;
constexpr double kTokenDeviation = 1e-6;  // first values of class token and registers
constexpr double kPositionDeviation = 0.02;
constexpr size_t kNumLast = 4;  // blocks that VitPool::kLastFour reads

// The definitions of DINOv2 other than timm's classify from class token and mean of the patches.
VitPool parse_pool(const ModelOptions& options) {
  const bool is_timm = options.naming.empty() || options.naming == "timm";
  if (options.pool.empty() && !is_timm) return VitPool::kTokenAverage;
  if (options.pool.empty() || options.pool == "token") return VitPool::kToken;
  if (options.pool == "avg") return VitPool::kAverage;
  if (options.pool == "token_avg") return VitPool::kTokenAverage;
  if (options.pool == "last4") return VitPool::kLastFour;
  throw UsageError(
      fmt::format("model {}: unknown pool \"{}\"; pools are token, avg, token_avg, last4",
                  options.name, options.pool));
}

int64_t num_features(VitPool pool, int64_t num_channels) {
  switch (pool) {
    case VitPool::kTokenAverage:
      return 2 * num_channels;
    case VitPool::kLastFour:
      return (static_cast<int64_t>(kNumLast) + 1) * num_channels;
    default:
      return num_channels;
  }
}

// The definitions other than timm's keep the published table whatever the images' size.
int64_t table_side(const ModelOptions& options, const VitLayout& layout) {
  const bool is_fixed =
      options.naming == "official" || options.naming == "transformers" || options.image_size == 0;
  const int64_t size = is_fixed ? layout.image_size : options.image_size;
  if (size % layout.patch_size != 0) {
    throw UsageError(fmt::format("model {}: image_size is {}, expected a multiple of {}",
                                 options.name, size, layout.patch_size));
  }
  return size / layout.patch_size;
}

PositionResampling resampling_of(const ModelOptions& options, const VitLayout& layout) {
  // With registers all definitions antialias.
  if (layout.num_registers > 0) return PositionResampling::kAntialiased;
  if (options.naming == "transformers") return PositionResampling::kPlain;
  if (options.naming == "official") return PositionResampling::kScaleFactor;
  return PositionResampling::kAntialiased;
}

}  // namespace

VitBlockImpl::VitBlockImpl(const VitLayout& layout, double drop_path_rate)
    : drop_path_rate_(drop_path_rate) {
  const int64_t num_channels = layout.num_channels;
  norm1_ = register_module("norm1", LayerNorm(num_channels, kNormEps));
  attn_ = register_module("attn", Attention(AttentionOptions{.num_channels = num_channels,
                                                             .num_heads = layout.num_heads}));
  norm2_ = register_module("norm2", LayerNorm(num_channels, kNormEps));
  mlp_ = register_module("mlp", Mlp(num_channels, layout.num_hidden, layout.mlp));
  if (layout.layer_scale == 0) return;
  ls1_ = register_module("ls1", LayerScale(num_channels, layout.layer_scale));
  ls2_ = register_module("ls2", LayerScale(num_channels, layout.layer_scale));
}

torch::Tensor VitBlockImpl::forward(const torch::Tensor& tokens) {
  const auto add = [this](const torch::Tensor& x, const torch::Tensor& branch, LayerScale& scale) {
    return x + drop_path(scale ? scale(branch) : branch, drop_path_rate_, is_training());
  };
  const torch::Tensor x = add(tokens, attn_(norm1_(tokens)), ls1_);
  return add(x, mlp_(norm2_(x)), ls2_);
}

Vit::Vit(const ModelOptions& options, const VitLayout& layout)
    : Classifier(options),
      layout_(layout),
      pool_(parse_pool(options)),
      num_prefix_(1 + layout.num_registers),
      num_prefix_positions_(layout.num_registers == 0 ? 1 : 0) {
  const int64_t num_channels = layout.num_channels, side = table_side(options, layout);
  cls_token_ = register_parameter("cls_token", torch::empty({1, 1, num_channels}));
  if (layout.num_registers > 0) {
    reg_token_ =
        register_parameter("reg_token", torch::empty({1, layout.num_registers, num_channels}));
  }
  pos_embed_ = register_parameter(
      "pos_embed", torch::empty({1, num_prefix_positions_ + side * side, num_channels}));
  patch_embed_ = register_module(
      "patch_embed", PatchEmbedding(PatchEmbeddingOptions{.in_channels = options.in_channels,
                                                          .patch_size = layout.patch_size,
                                                          .num_channels = num_channels}));
  auto container = register_module("blocks", std::make_shared<torch::nn::Module>());
  const std::vector<double> rates = drop_path_rates(options.drop_path_rate, layout.depth);
  for (size_t i = 0; i < rates.size(); ++i) {
    blocks_.push_back(container->register_module(std::to_string(i), VitBlock(layout, rates[i])));
  }
  if (lacks_last_norm()) return;
  norm_ = register_module(pool_ == VitPool::kAverage ? "fc_norm" : "norm",
                          LayerNorm(num_channels, kNormEps));
  if (options.num_classes > 0) {
    head_ = register_module("head", Linear(num_features(pool_, num_channels), options.num_classes,
                                           WeightInit::kNormal02));
  }
}

torch::Tensor Vit::embed(const torch::Tensor& images) {
  check_images(images);
  check_sides(options().name, images, layout_.patch_size);
  const torch::Tensor map = patch_embed_(images);  // (B, H', W', C)
  const torch::Tensor positions =
      resample_position_table(pos_embed_, num_prefix_positions_, {map.size(1), map.size(2)},
                              resampling_of(options(), layout_));
  const int64_t batch_size = images.size(0);
  const torch::Tensor patches = map.flatten(1, 2);
  const torch::Tensor cls_token = cls_token_.expand({batch_size, -1, -1});
  if (layout_.num_registers == 0) return at::cat({cls_token, patches}, 1) + positions;
  return at::cat({cls_token, reg_token_.expand({batch_size, -1, -1}), patches + positions}, 1);
}

torch::Tensor Vit::run_blocks(const torch::Tensor& images, std::vector<torch::Tensor>* last_four) {
  torch::Tensor tokens = embed(images);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    tokens = run_block(
        tokens, [block = blocks_[i]](const torch::Tensor& input) mutable { return block(input); });
    if (last_four != nullptr && i + kNumLast >= blocks_.size()) last_four->push_back(tokens);
  }
  return tokens;
}

torch::Tensor Vit::forward_features(const torch::Tensor& images) {
  const torch::Tensor tokens = run_blocks(images, nullptr);
  return pool_ == VitPool::kAverage || !norm_ ? tokens : norm_(tokens);
}

ModelOutput Vit::classify(const torch::Tensor& features) {
  if (!head_) return {features, features, {}};
  return {head_(at::dropout(features, options().drop_rate, is_training())), features, {}};
}

ModelOutput Vit::forward_head(const torch::Tensor& features) {
  ModelOutput output;
  if (pool_ == VitPool::kToken) {
    output = classify(features.select(1, 0));
  } else {
    const torch::Tensor mean = features.slice(1, num_prefix_).mean(1);
    output = classify(pool_ == VitPool::kAverage ? norm_(mean)
                                                 : at::cat({features.select(1, 0), mean}, 1));
  }
  output.unpooled = features;
  return output;
}

ModelOutput Vit::forward(const torch::Tensor& images) {
  if (pool_ != VitPool::kLastFour || options().num_classes == 0) {
    return Classifier::forward(images);
  }
  std::vector<torch::Tensor> last_four, parts;
  const torch::Tensor unpooled = norm_(run_blocks(images, &last_four));
  // The norm acts on each token alone: of the earlier blocks only the class token is needed.
  for (const torch::Tensor& tokens : last_four) parts.push_back(norm_(tokens.select(1, 0)));
  parts.push_back(unpooled.slice(1, num_prefix_).mean(1));
  ModelOutput output = classify(at::cat(parts, 1));
  output.unpooled = unpooled;
  return output;
}

torch::Tensor Vit::feature_map(const torch::Tensor& features, int64_t height, int64_t width) const {
  return features.slice(1, num_prefix_)
      .transpose(1, 2)
      .unflatten(2, {height / layout_.patch_size, width / layout_.patch_size});
}

std::vector<torch::Tensor> Vit::forward_pyramid(const torch::Tensor& images) {
  return {feature_map(run_blocks(images, nullptr), images.size(2), images.size(3))};
}

void Vit::adapt_weights(StateDict& weights) const {
  const auto table = weights.find("pos_embed");
  if (table == weights.end() || table->second.dim() != 3) return;
  if (table->second.size(1) == pos_embed_.size(1)) return;
  const int64_t side = table_side(options(), layout_);
  table->second = resample_position_table(table->second, num_prefix_positions_, {side, side},
                                          resampling_of(options(), layout_));
}

std::vector<ParameterRule> Vit::parameter_rules() {
  std::vector<ParameterRule> rules{
      {"cls_token", cls_token_, Distribution::kNormal, kTokenDeviation},
      {"pos_embed", pos_embed_, Distribution::kNormal, kPositionDeviation}};
  if (reg_token_.defined()) {
    rules.push_back({"reg_token", reg_token_, Distribution::kNormal, kTokenDeviation});
  }
  return rules;
}

std::shared_ptr<VisionModel> create_vit(const ModelOptions& options) {
  return std::make_shared<Vit>(options, vit_layout(options.name));
}

}  // namespace podium::models
