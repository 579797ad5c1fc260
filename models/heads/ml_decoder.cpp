// Embedding, one decoder layer, group-wise linear layer.
#include "models/heads/ml_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "models/heads/head_body.h"
#include "models/heads/head_table.h"

namespace podium::models {
namespace {

constexpr int64_t kPublishedQueries = 100;
constexpr int64_t kNumHeads = 8;
constexpr int64_t kNumHidden = 2048;
constexpr int64_t kPublishedDim = 768;

// `body` with the decoder in place of its own head.
std::shared_ptr<VisionModel> put_on(std::shared_ptr<VisionModel> body, const ModelOptions& options,
                                    bool is_learnable) {
  const auto classifier = classifier_body(body, options);
  const int64_t num_queries = options.head.get_int("queries"), dim = options.head.get_int("dim");
  if (num_queries > options.num_classes) {
    fail_head(options, fmt::format("{} queries for {} classes, expected 1 to {}, or 0 for one per "
                                   "class up to {}",
                                   num_queries, options.num_classes, options.num_classes,
                                   kPublishedQueries));
  }
  if (dim % kNumHeads != 0) {
    fail_head(options,
              fmt::format("width is {}, expected a multiple of {}, or 0 for the published one", dim,
                          kNumHeads));
  }
  MlDecoderOptions decoder;
  decoder.in_channels = classifier->map_channels();
  decoder.num_classes = options.num_classes;
  decoder.num_queries = num_queries;
  decoder.dim = dim > 0 ? dim : kPublishedDim;
  decoder.drop_rate = options.head.get_float("drop_rate");
  decoder.is_learnable = is_learnable;
  classifier->attach_head(std::make_shared<MlDecoder>(decoder));
  return body;
}

}  // namespace

MlDecoder::MlDecoder(const MlDecoderOptions& options) {
  const int64_t wanted = options.num_queries > 0 ? options.num_queries : kPublishedQueries;
  const int64_t num_queries = std::min(wanted, options.num_classes);
  const int64_t group_size = (options.num_classes + num_queries - 1) / num_queries;
  auto decoder = register_module("decoder", std::make_shared<torch::nn::Module>());
  embedding_ = decoder->register_module("embed_standart", Linear(options.in_channels, options.dim));
  auto query_embed = decoder->register_module("query_embed", std::make_shared<torch::nn::Module>());
  queries_ = query_embed->register_parameter("weight", torch::empty({num_queries, options.dim}),
                                             options.is_learnable);
  auto layers = decoder->register_module("layers", std::make_shared<torch::nn::Module>());
  layer_ = layers->register_module(
      "0", TransformerDecoderLayer(TransformerLayerOptions{.dim = options.dim,
                                                           .num_heads = kNumHeads,
                                                           .num_hidden = kNumHidden,
                                                           .drop_rate = options.drop_rate,
                                                           .init = WeightInit::kTorchDefault},
                                   QueryMixing::kDoubling));
  group_weight_ = decoder->register_parameter("duplicate_pooling",
                                              torch::empty({num_queries, options.dim, group_size}));
  group_bias_ =
      decoder->register_parameter("duplicate_pooling_bias", torch::empty({options.num_classes}));
}

torch::Tensor MlDecoder::forward(const torch::Tensor& map) {
  // (B, C, h, w) -> (B, h * w, D)
  const torch::Tensor memory = at::relu(embedding_(map.flatten(2).transpose(1, 2)));
  const torch::Tensor queries = queries_.unsqueeze(0).expand({map.size(0), -1, -1});
  const torch::Tensor decoded = layer_(queries, memory);  // (B, Q, D)
  // (Q, B, D) x (Q, D, K / Q) -> (B, Q * K / Q); the last group may be larger than its classes.
  const torch::Tensor logits =
      at::bmm(decoded.transpose(0, 1), group_weight_).transpose(0, 1).flatten(1);
  return logits.narrow(1, 0, group_bias_.size(0)) + group_bias_;
}

std::vector<ParameterRule> MlDecoder::parameter_rules() {
  // Xavier's normal rule as torch.nn.init counts the fans of a 3-d tensor.
  const double fans =
      static_cast<double>((group_weight_.size(0) + group_weight_.size(1)) * group_weight_.size(2));
  return {
      {"decoder.query_embed.weight", queries_, Distribution::kNormal, 1.0},
      {"decoder.duplicate_pooling", group_weight_, Distribution::kNormal, std::sqrt(2.0 / fans)},
      {"decoder.duplicate_pooling_bias", group_bias_, Distribution::kConstant, 0.0}};
}

std::shared_ptr<VisionModel> create_ml_decoder(std::shared_ptr<VisionModel> body,
                                               const ModelOptions& options) {
  return put_on(std::move(body), options, /*is_learnable=*/false);
}

std::shared_ptr<VisionModel> create_learnable_ml_decoder(std::shared_ptr<VisionModel> body,
                                                         const ModelOptions& options) {
  return put_on(std::move(body), options, /*is_learnable=*/true);
}

}  // namespace podium::models
