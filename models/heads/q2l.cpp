// Both forms of Query2Label.
#include "models/heads/q2l.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>
#include <utility>

#include "models/heads/head_body.h"
#include "models/heads/head_table.h"

namespace podium::models {
namespace {

constexpr int64_t kEncoderLayers = 1, kDecoderLayers = 2;
constexpr int64_t kNumHeads = 4, kNumHidden = 8192;
constexpr int64_t kPlainHeads = 8, kPlainHidden = 2048, kPlainDim = 256;
constexpr const char* kPositionName = "backbone.1.pe";

void check_dim(const ModelOptions& options, int64_t dim, int64_t divisor) {
  if (dim % divisor == 0) return;
  fail_head(options, fmt::format("width {} is not a multiple of {}; set the head's width, for "
                                 "instance to {}",
                                 dim, divisor, dim / divisor * divisor + divisor));
}

// (B, C, h, w) -> (B, h * w, C)
torch::Tensor to_sequence(const torch::Tensor& map) { return map.flatten(2).transpose(1, 2); }

Conv2d projection(int64_t in_channels, int64_t out_channels) {
  return Conv2d(Conv2dOptions{.in_channels = in_channels,
                              .out_channels = out_channels,
                              .has_bias = true,
                              .init = WeightInit::kTorchDefault});
}

// One half of the channels: sine and cosine of each place at each frequency. -> (places, n)
torch::Tensor sine_axis(int64_t num_places, int64_t num_channels) {
  const auto real = torch::dtype(torch::kFloat32);
  const torch::Tensor place = torch::arange(1, num_places + 1, real) /
                              (static_cast<double>(num_places) + 1e-6) * (2 * std::numbers::pi);
  const torch::Tensor channel = torch::arange(num_channels, real);
  const torch::Tensor exponent = 2 * channel.div(2, "floor") / static_cast<double>(num_channels);
  const torch::Tensor angle = place.unsqueeze(1) / at::pow(10000.0, exponent);
  return torch::stack(
             {angle.slice(1, 0, c10::nullopt, 2).sin(), angle.slice(1, 1, c10::nullopt, 2).cos()},
             2)
      .flatten(1);
}

}  // namespace

torch::Tensor sine_positions(int64_t dim, int64_t height, int64_t width) {
  const int64_t half = dim / 2;
  const torch::Tensor rows = sine_axis(height, half).unsqueeze(1).expand({height, width, half});
  const torch::Tensor columns = sine_axis(width, half).unsqueeze(0).expand({height, width, half});
  return torch::cat({rows, columns}, 2).permute({2, 0, 1}).unsqueeze(0).contiguous();
}

LabelTransformerImpl::LabelTransformerImpl(const TransformerLayerOptions& options, bool is_plain)
    : is_plain_(is_plain) {
  const auto container = [](torch::nn::Module& parent, const char* name) {
    return parent.register_module(name, std::make_shared<torch::nn::Module>());
  };
  auto encoder = container(*this, "encoder");
  auto layers = container(*encoder, "layers");
  for (int64_t i = 0; i < kEncoderLayers; ++i) {
    encoder_.push_back(
        layers->register_module(std::to_string(i), TransformerEncoderLayer(options)));
  }
  if (is_plain) encoder_norm_ = encoder->register_module("norm", LayerNorm(options.dim));
  auto decoder = container(*this, "decoder");
  layers = container(*decoder, "layers");
  const QueryMixing mixing = is_plain ? QueryMixing::kSelfAttention : QueryMixing::kNone;
  for (int64_t i = 0; i < kDecoderLayers; ++i) {
    decoder_.push_back(
        layers->register_module(std::to_string(i), TransformerDecoderLayer(options, mixing)));
  }
  decoder_norm_ = decoder->register_module("norm", LayerNorm(options.dim));
}

torch::Tensor LabelTransformerImpl::forward(const torch::Tensor& input,
                                            const torch::Tensor& position,
                                            const torch::Tensor& queries) {
  torch::Tensor memory = input;
  for (TransformerEncoderLayer& layer : encoder_) memory = layer(memory, position);
  if (encoder_norm_) memory = encoder_norm_(memory);
  const torch::Tensor all = queries.expand({input.size(0), -1, -1});
  torch::Tensor x = is_plain_ ? all : at::zeros_like(all);
  for (TransformerDecoderLayer& layer : decoder_) {
    x = layer(x, memory, position, is_plain_ ? torch::Tensor() : queries);
  }
  return decoder_norm_(x);
}

Query2Label::Query2Label(const ModelOptions& options, std::shared_ptr<Classifier> body)
    : VisionModel(options), body_(std::move(body)) {
  const int64_t channels = body_->map_channels();
  const int64_t wanted_dim = options.head.get_int("dim");
  const int64_t dim = wanted_dim > 0 ? wanted_dim : channels;
  check_dim(options, dim, kNumHeads);
  auto backbone = register_module("backbone", std::make_shared<torch::nn::Module>());
  backbone->register_module("0", body_);
  auto position = backbone->register_module("1", std::make_shared<torch::nn::Module>());
  const int64_t size = (options.image_size + body_->map_stride() - 1) / body_->map_stride();
  position_ = position->register_buffer("pe", sine_positions(dim, size, size));
  transformer_ = register_module(
      "transformer",
      LabelTransformer(TransformerLayerOptions{.dim = dim,
                                               .num_heads = kNumHeads,
                                               .num_hidden = kNumHidden,
                                               .drop_rate = options.head.get_float("drop_rate")},
                       /*is_plain=*/false));
  if (wanted_dim > 0) {
    input_projection_ = register_module("input_proj", projection(channels, dim));
  }
  auto query_embed = register_module("query_embed", std::make_shared<torch::nn::Module>());
  queries_ = query_embed->register_parameter("weight", torch::empty({options.num_classes, dim}));
  auto fc = register_module("fc", std::make_shared<torch::nn::Module>());
  class_weight_ = fc->register_parameter("W", torch::empty({1, options.num_classes, dim}));
  class_bias_ = fc->register_parameter("b", torch::empty({1, options.num_classes}));
}

torch::Tensor Query2Label::positions(const torch::Tensor& map) const {
  if (position_.size(2) == map.size(2) && position_.size(3) == map.size(3)) return position_;
  return sine_positions(position_.size(1), map.size(2), map.size(3)).to(position_);
}

ModelOutput Query2Label::forward(const torch::Tensor& images) {
  const torch::Tensor features = body_->forward_features(images);
  const torch::Tensor map = body_->feature_map(features, images.size(2), images.size(3));
  const torch::Tensor projected = input_projection_ ? input_projection_(map) : map;
  const torch::Tensor decoded =
      transformer_(to_sequence(projected), to_sequence(positions(map)), queries_.unsqueeze(0));
  const torch::Tensor logits = (class_weight_ * decoded).sum(-1) + class_bias_;
  return {logits, map.mean({2, 3}), body_->unpooled(features, images.size(2), images.size(3))};
}

std::vector<std::string> Query2Label::head_prefixes() const {
  return {"transformer.", "input_proj.", "query_embed.", "fc."};
}

void Query2Label::adapt_weights(StateDict& weights) const {
  // Positions follow the image size, not the file.
  if (weights.contains(kPositionName)) weights[kPositionName] = position_;
}

std::vector<ParameterRule> Query2Label::parameter_rules() {
  const double bound = 1.0 / std::sqrt(static_cast<double>(class_weight_.size(2)));
  return {{"query_embed.weight", queries_, Distribution::kNormal, 1.0},
          {"fc.W", class_weight_, Distribution::kUniform, bound},
          {"fc.b", class_bias_, Distribution::kUniform, bound}};
}

SimplifiedQuery2Label::SimplifiedQuery2Label(const ModelOptions& options,
                                             std::shared_ptr<Classifier> body)
    : VisionModel(options), body_(std::move(body)) {
  const int64_t wanted_dim = options.head.get_int("dim");
  const int64_t dim = wanted_dim > 0 ? wanted_dim : kPlainDim;
  check_dim(options, dim, kPlainHeads);
  register_module("backbone", body_);
  projection_ = register_module("conv", projection(body_->map_channels(), dim));
  transformer_ = register_module(
      "transformer",
      LabelTransformer(TransformerLayerOptions{.dim = dim,
                                               .num_heads = kPlainHeads,
                                               .num_hidden = kPlainHidden,
                                               .drop_rate = options.head.get_float("drop_rate")},
                       /*is_plain=*/true));
  classifier_ =
      register_module("classifier", Linear(options.num_classes * dim, options.num_classes));
  queries_ = register_parameter("label_emb", torch::empty({1, options.num_classes, dim}));
}

ModelOutput SimplifiedQuery2Label::forward(const torch::Tensor& images) {
  const torch::Tensor features = body_->forward_features(images);
  const torch::Tensor map = body_->feature_map(features, images.size(2), images.size(3));
  const torch::Tensor decoded =
      transformer_(to_sequence(projection_(map)), torch::Tensor(), queries_);
  return {classifier_(decoded.flatten(1)), map.mean({2, 3}),
          body_->unpooled(features, images.size(2), images.size(3))};
}

std::vector<ParameterRule> SimplifiedQuery2Label::parameter_rules() {
  return {{"label_emb", queries_, Distribution::kUnit, 1.0}};
}

std::shared_ptr<VisionModel> create_q2l(std::shared_ptr<VisionModel> body,
                                        const ModelOptions& options) {
  return std::make_shared<Query2Label>(options, classifier_body(body, options));
}

std::shared_ptr<VisionModel> create_q2l_simplified(std::shared_ptr<VisionModel> body,
                                                   const ModelOptions& options) {
  return std::make_shared<SimplifiedQuery2Label>(options, classifier_body(body, options));
}

}  // namespace podium::models
