// Stages of convolutional tokens.
#include "models/backbones/cvt.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "models/backbones/families.h"
#include "models/interface/name_rules.h"
#include "models/layers/halve_map.h"

namespace podium::models {
namespace {

constexpr std::array<int64_t, 3> kPatchSizes{7, 3, 3}, kStrides{4, 2, 2}, kPaddings{2, 1, 1};
constexpr int64_t kMlpRatio = 4;
constexpr int64_t kKeyStride = 2;
constexpr const char* kLetters = "qkv";

// Places along one axis after all patch embeddings.
int64_t num_places(int64_t size) {
  for (size_t i = 0; i < kStrides.size(); ++i) {
    size = (size + 2 * kPaddings[i] - kPatchSizes[i]) / kStrides[i] + 1;
  }
  return size;
}

Linear normal_linear(int64_t in_features, int64_t out_features) {
  return Linear(in_features, out_features, WeightInit::kNormal02);
}

// (B, C, h, w) -> (B, h * w, C)
torch::Tensor to_tokens(const torch::Tensor& map) { return map.flatten(2).transpose(1, 2); }

// (B, h * w, C) -> (B, C, h, w)
torch::Tensor to_map_of(const torch::Tensor& tokens, int64_t height, int64_t width) {
  return tokens.transpose(1, 2).unflatten(2, {height, width});
}

// Official names to transformers', most special first.
const std::vector<NameRule>& transformers_rules() {
  static const std::vector<NameRule> kRules{
      {R"(^stage(\d+)\.patch_embed\.proj\.)",
       "cvt.encoder.stages.$1.embedding.convolution_embeddings.projection."},
      {R"(^stage(\d+)\.patch_embed\.norm\.)",
       "cvt.encoder.stages.$1.embedding.convolution_embeddings.normalization."},
      {R"(^stage(\d+)\.cls_token$)", "cvt.encoder.stages.$1.cls_token"},
      {R"(^stage(\d+)\.blocks\.)", "cvt.encoder.stages.$1.layers."},
      {R"(\.attn\.conv_proj_q\.)",
       ".attention.attention.convolution_projection_query.convolution_projection."},
      {R"(\.attn\.conv_proj_k\.)",
       ".attention.attention.convolution_projection_key.convolution_projection."},
      {R"(\.attn\.conv_proj_v\.)",
       ".attention.attention.convolution_projection_value.convolution_projection."},
      {R"(\.convolution_projection\.conv\.)", ".convolution_projection.convolution."},
      {R"(\.convolution_projection\.bn\.)", ".convolution_projection.normalization."},
      {R"(\.attn\.proj_q\.)", ".attention.attention.projection_query."},
      {R"(\.attn\.proj_k\.)", ".attention.attention.projection_key."},
      {R"(\.attn\.proj_v\.)", ".attention.attention.projection_value."},
      {R"(\.attn\.proj\.)", ".attention.output.dense."},
      {R"(\.mlp\.fc1\.)", ".intermediate.dense."},
      {R"(\.mlp\.fc2\.)", ".output.dense."},
      {R"(\.norm1\.)", ".layernorm_before."},
      {R"(\.norm2\.)", ".layernorm_after."},
      {R"(^norm\.)", "layernorm."},
      {R"(^head\.)", "classifier."},
  };
  return kRules;
}

StateDict to_transformers(const StateDict& own) { return rename(own, transformers_rules()); }

StateDict from_transformers(const StateDict& weights) {
  static const std::vector<NameRule> kRules{
      {R"(^cvt\.encoder\.stages\.(\d+)\.embedding\.convolution_embeddings\.projection\.)",
       "stage$1.patch_embed.proj."},
      {R"(^cvt\.encoder\.stages\.(\d+)\.embedding\.convolution_embeddings\.normalization\.)",
       "stage$1.patch_embed.norm."},
      {R"(^cvt\.encoder\.stages\.(\d+)\.cls_token$)", "stage$1.cls_token"},
      {R"(^cvt\.encoder\.stages\.(\d+)\.layers\.)", "stage$1.blocks."},
      {R"(\.attention\.attention\.convolution_projection_([qkv])\w+\.convolution_projection\.)",
       ".attn.conv_proj_$1."},
      {R"(\.(conv_proj_[qkv])\.convolution\.)", ".$1.conv."},
      {R"(\.(conv_proj_[qkv])\.normalization\.)", ".$1.bn."},
      {R"(\.attention\.attention\.projection_([qkv])\w+\.)", ".attn.proj_$1."},
      {R"(\.attention\.output\.dense\.)", ".attn.proj."},
      {R"(\.intermediate\.dense\.)", ".mlp.fc1."},
      {R"(\.output\.dense\.)", ".mlp.fc2."},
      {R"(\.layernorm_before\.)", ".norm1."},
      {R"(\.layernorm_after\.)", ".norm2."},
      {R"(^layernorm\.)", "norm."},
      {R"(^classifier\.)", "head."},
  };
  return rename(weights, kRules);
}

}  // namespace

CvtProjectionImpl::CvtProjectionImpl(int64_t num_channels, int64_t stride) {
  convolution_ = register_module("conv", Conv2d(Conv2dOptions{.in_channels = num_channels,
                                                              .out_channels = num_channels,
                                                              .kernel_size = 3,
                                                              .stride = stride,
                                                              .padding = 1,
                                                              .groups = num_channels,
                                                              .init = WeightInit::kTorchDefault}));
  norm_ = register_module("bn", BatchNorm2d(num_channels));
}

torch::Tensor CvtProjectionImpl::forward(const torch::Tensor& map) {
  return to_tokens(norm_(convolution_(map)));
}

CvtBlockImpl::CvtBlockImpl(int64_t num_channels, int64_t num_heads, bool has_class_token,
                           double drop_path_rate, MlpKind mlp)
    : num_heads_(num_heads), has_class_token_(has_class_token), drop_path_rate_(drop_path_rate) {
  norm1_ = register_module("norm1", LayerNorm(num_channels));
  auto attention = register_module("attn", std::make_shared<torch::nn::Module>());
  for (size_t i = 0; i < convolutions_.size(); ++i) {
    const std::string letter(1, kLetters[i]);
    convolutions_[i] = attention->register_module(
        "conv_proj_" + letter, CvtProjection(num_channels, i == 0 ? 1 : kKeyStride));
    projections_[i] =
        attention->register_module("proj_" + letter, normal_linear(num_channels, num_channels));
  }
  output_ = attention->register_module("proj", normal_linear(num_channels, num_channels));
  norm2_ = register_module("norm2", LayerNorm(num_channels));
  mlp_ = register_module("mlp", Mlp(num_channels, kMlpRatio * num_channels, mlp));
}

torch::Tensor CvtBlockImpl::attend(const torch::Tensor& tokens, int64_t height, int64_t width) {
  const int64_t first_patch = has_class_token_ ? 1 : 0;
  const torch::Tensor map = to_map_of(tokens.slice(1, first_patch), height, width);
  std::array<torch::Tensor, 3> heads;
  for (size_t i = 0; i < heads.size(); ++i) {
    torch::Tensor x = convolutions_[i](map);
    // The class token takes no part in the convolution.
    if (has_class_token_) x = at::cat({tokens.narrow(1, 0, 1), x}, 1);
    x = projections_[i](x);
    heads[i] = x.unflatten(2, {num_heads_, x.size(2) / num_heads_}).transpose(1, 2);
  }
  // Scaled by the width of all heads, not of one.
  const double scale = 1.0 / std::sqrt(static_cast<double>(tokens.size(2)));
  const torch::Tensor attended = at::scaled_dot_product_attention(
      heads[0], heads[1], heads[2], {}, /*dropout_p=*/0.0, /*is_causal=*/false, scale);
  return output_(attended.transpose(1, 2).flatten(2));
}

torch::Tensor CvtBlockImpl::forward(const torch::Tensor& tokens, int64_t height, int64_t width) {
  const torch::Tensor x =
      tokens + drop_path(attend(norm1_(tokens), height, width), drop_path_rate_, is_training());
  return x + drop_path(mlp_(norm2_(x)), drop_path_rate_, is_training());
}

Cvt::Cvt(const ModelOptions& options, const CvtLayout& layout)
    : Classifier(options), layout_(layout) {
  const MlpKind mlp = options.naming == "transformers" ? MlpKind::kGelu : MlpKind::kQuickGelu;
  int64_t channels = options.in_channels;
  for (size_t i = 0; i < stages_.size(); ++i) {
    const bool is_last = i + 1 == stages_.size();
    const int64_t dim = layout.dims[i];
    auto stage =
        register_module("stage" + std::to_string(i), std::make_shared<torch::nn::Module>());
    auto embedding = stage->register_module("patch_embed", std::make_shared<torch::nn::Module>());
    stages_[i].projection = embedding->register_module(
        "proj", Conv2d(Conv2dOptions{.in_channels = channels,
                                     .out_channels = dim,
                                     .kernel_size = kPatchSizes[i],
                                     .stride = kStrides[i],
                                     .padding = kPaddings[i],
                                     .has_bias = true,
                                     .init = WeightInit::kTorchDefault}));
    stages_[i].norm = embedding->register_module("norm", LayerNorm(dim));
    if (is_last) class_token_ = stage->register_parameter("cls_token", torch::empty({1, 1, dim}));
    auto blocks = stage->register_module("blocks", std::make_shared<torch::nn::Module>());
    // As published: only the last stage drops paths, rising over its blocks.
    const std::vector<double> rates =
        drop_path_rates(is_last ? options.drop_path_rate : 0.0, layout.depths[i]);
    for (int64_t block = 0; block < layout.depths[i]; ++block) {
      stages_[i].blocks.push_back(blocks->register_module(
          std::to_string(block),
          CvtBlock(dim, layout.num_heads[i], is_last, rates[static_cast<size_t>(block)], mlp)));
    }
    channels = dim;
  }
  if (lacks_last_norm()) return;
  norm_ = register_module("norm", LayerNorm(channels));
  if (options.num_classes > 0) {
    head_ = register_module("head", normal_linear(channels, options.num_classes));
  }
}

torch::Tensor Cvt::run_stages(const torch::Tensor& images, std::vector<torch::Tensor>* maps) {
  check_images(images);
  if (num_places(images.size(2)) < 1 || num_places(images.size(3)) < 1) {
    throw UsageError(fmt::format("model {}: images are {} x {} px, expected at least 3 x 3",
                                 options().name, images.size(2), images.size(3)));
  }
  torch::Tensor map = in_quick_layout(images), tokens;
  for (Stage& stage : stages_) {
    map = stage.projection(map);
    const int64_t height = map.size(2), width = map.size(3);
    const bool is_last = &stage == &stages_.back();
    tokens = stage.norm(to_tokens(map));
    if (is_last) tokens = at::cat({class_token_.expand({map.size(0), -1, -1}), tokens}, 1);
    for (CvtBlock& block : stage.blocks) {
      tokens = run_block(tokens, [block, height, width](const torch::Tensor& input) mutable {
        return block(input, height, width);
      });
    }
    map = to_map_of(is_last ? tokens.slice(1, 1) : tokens, height, width);
    if (maps != nullptr) maps->push_back(map);
  }
  return tokens;
}

torch::Tensor Cvt::forward_features(const torch::Tensor& images) {
  return run_stages(images, nullptr);
}

std::vector<torch::Tensor> Cvt::forward_pyramid(const torch::Tensor& images) {
  std::vector<torch::Tensor> maps;
  run_stages(images, &maps);
  maps.push_back(halve_map(maps.back(), options().name, images));
  return maps;
}

std::vector<int64_t> Cvt::pyramid_channels() const {
  std::vector<int64_t> channels(layout_.dims.begin(), layout_.dims.end());
  channels.push_back(channels.back());
  return channels;
}

ModelOutput Cvt::forward_head(const torch::Tensor& tokens) {
  const torch::Tensor features = norm_(tokens.select(1, 0));
  if (!head_) return {features, features, tokens};
  return {head_(at::dropout(features, options().drop_rate, is_training())), features, tokens};
}

torch::Tensor Cvt::unpooled(const torch::Tensor& tokens, int64_t height, int64_t width) const {
  return to_map_of(tokens.slice(1, 1), num_places(height), num_places(width));
}

torch::Tensor Cvt::feature_map(const torch::Tensor& tokens, int64_t height, int64_t width) const {
  return unpooled(norm_ ? norm_(tokens) : tokens, height, width);
}

std::vector<ParameterRule> Cvt::parameter_rules() {
  return {{"stage2.cls_token", class_token_, Distribution::kNormal, 0.02}};
}

std::vector<Naming> cvt_namings() {
  return {{"official", {"stage0.patch_embed.proj.weight"}, nullptr, nullptr},
          {"transformers",
           {"cvt.encoder.stages.0.embedding.convolution_embeddings.projection.weight"},
           from_transformers,
           to_transformers}};
}

std::shared_ptr<VisionModel> create_cvt(const ModelOptions& options) {
  return std::make_shared<Cvt>(options, cvt_layout(options.name));
}

}  // namespace podium::models
