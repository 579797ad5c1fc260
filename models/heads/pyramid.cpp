// The simple pyramid, and the encoder with or without it.
#include "models/heads/pyramid.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "base/error.h"
#include "models/layers/halve_map.h"

namespace podium::models {
namespace {

constexpr double kNormEps = 1e-6;
constexpr size_t kFirstNumber = 2;  // log2 of the first map's stride, for patches of 16 px

}  // namespace

DoublingConvolutionImpl::DoublingConvolutionImpl(int64_t in_channels, int64_t out_channels) {
  weight = register_parameter("weight", torch::empty({in_channels, out_channels, 2, 2}));
  bias = register_parameter("bias", torch::empty({out_channels}));
}

torch::Tensor DoublingConvolutionImpl::forward(const torch::Tensor& map) {
  return at::conv_transpose2d(map, weight, bias, /*stride=*/2);
}

std::vector<ParameterRule> DoublingConvolutionImpl::parameter_rules() {
  // torch.nn takes the outputs for the inputs here.
  const double bound = 1.0 / std::sqrt(4.0 * static_cast<double>(weight.size(1)));
  return {{"weight", weight, Distribution::kUniform, bound},
          {"bias", bias, Distribution::kUniform, bound}};
}

ChannelNormImpl::ChannelNormImpl(int64_t num_channels) : LayerNormImpl(num_channels, kNormEps) {}

torch::Tensor ChannelNormImpl::forward(const torch::Tensor& map) {
  return LayerNormImpl::forward(map.permute({0, 2, 3, 1})).permute({0, 3, 1, 2});
}

SimplePyramidImpl::SimplePyramidImpl(int64_t num_channels) {
  for (size_t i = 0; i < levels_.size(); ++i) {
    Level& level = levels_[i];
    auto stage = register_module("simfp_" + std::to_string(i + kFirstNumber),
                                 std::make_shared<torch::nn::Module>());
    int64_t channels = num_channels, number = 0;
    if (kScales[i] >= 2) {
      level.doubling = stage->register_module("0", DoublingConvolution(channels, channels / 2));
      channels /= 2;
      number = 1;
    }
    if (kScales[i] == 4) {
      level.doubling_norm = stage->register_module("1", ChannelNorm(channels));
      // The GELU is number 2.
      level.second_doubling =
          stage->register_module("3", DoublingConvolution(channels, channels / 2));
      channels /= 2;
      number = 4;
    }
    if (kScales[i] < 1) number = 1;  // the pooling is number 0
    const auto convolution = [&](int64_t in_channels, int64_t kernel_size) {
      return stage->register_module(std::to_string(number++),
                                    Conv2d(Conv2dOptions{.in_channels = in_channels,
                                                         .out_channels = kChannels,
                                                         .kernel_size = kernel_size,
                                                         .padding = kernel_size / 2,
                                                         .init = WeightInit::kTorchDefault}));
    };
    level.narrowing = convolution(channels, 1);
    level.narrowing_norm = level.narrowing->register_module("norm", ChannelNorm(kChannels));
    level.smoothing = convolution(kChannels, 3);
    level.smoothing_norm = level.smoothing->register_module("norm", ChannelNorm(kChannels));
  }
}

std::vector<torch::Tensor> SimplePyramidImpl::forward(const torch::Tensor& map,
                                                      const std::string& model,
                                                      const torch::Tensor& images) {
  std::vector<torch::Tensor> maps;
  const torch::Tensor input = in_quick_layout(map);
  for (size_t i = 0; i < levels_.size(); ++i) {
    Level& level = levels_[i];
    torch::Tensor x = kScales[i] < 1 ? halve_map(input, model, images) : input;
    if (level.doubling) x = level.doubling(x);
    if (level.second_doubling) x = level.second_doubling(at::gelu(level.doubling_norm(x)));
    x = level.narrowing_norm(level.narrowing(x));
    maps.push_back(level.smoothing_norm(level.smoothing(x)));
  }
  return maps;
}

PyramidModel::PyramidModel(const ModelOptions& options, std::shared_ptr<VisionModel> encoder)
    : VisionModel(options), encoder_(std::move(encoder)) {
  if (!options.pool.empty()) {
    throw UsageError(fmt::format(
        "model {}: pool is \"{}\", but a model that predicts maps has no pool; leave it out",
        options.name, options.pool));
  }
  register_module("encoder", encoder_);
  const std::vector<int64_t> channels = encoder_->pyramid_channels();
  if (channels.size() == 1) neck_ = register_module("neck", SimplePyramid(channels.front()));
}

std::vector<torch::Tensor> PyramidModel::forward_pyramid(const torch::Tensor& images) {
  std::vector<torch::Tensor> maps = encoder_->forward_pyramid(images);
  return neck_ ? neck_->forward(maps.front(), options().name, images) : maps;
}

std::vector<int64_t> PyramidModel::pyramid_channels() const {
  if (!neck_) return encoder_->pyramid_channels();
  return std::vector<int64_t>(SimplePyramidImpl::kScales.size(), SimplePyramidImpl::kChannels);
}

std::vector<double> PyramidModel::pyramid_strides() const {
  std::vector<double> strides = encoder_->pyramid_strides();
  if (!neck_) return strides;
  const double patch_size = strides.front();
  strides.clear();
  for (const double scale : SimplePyramidImpl::kScales) strides.push_back(patch_size / scale);
  return strides;
}

void PyramidModel::adapt_weights(StateDict& weights) const {
  StateDict of_encoder;
  for (const auto& [name, tensor] : weights) {
    if (!name.starts_with(kEncoderPrefix)) continue;
    of_encoder.emplace(name.substr(std::string(kEncoderPrefix).size()), tensor);
  }
  std::erase_if(weights, [](const auto& item) { return item.first.starts_with(kEncoderPrefix); });
  encoder_->adapt_weights(of_encoder);
  for (const auto& [name, tensor] : of_encoder) weights.emplace(kEncoderPrefix + name, tensor);
}

}  // namespace podium::models
