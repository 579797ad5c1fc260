// The pyramid decoder and the model around it.
#include "models/heads/fpn.h"

#include <utility>

#include "models/backbones/families.h"
#include "models/backbones/resnet.h"
#include "models/heads/head_body.h"
#include "models/heads/head_table.h"

namespace podium::models {
namespace {

constexpr int64_t kNumGroups = 32;
constexpr double kPublishedDropRate = 0.2;

torch::Tensor resize_bilinear(const torch::Tensor& map, at::IntArrayRef size) {
  if (map.sizes().slice(2) == size) return map;
  return at::upsample_bilinear2d(map, size, /*align_corners=*/true);
}

}  // namespace

FpnConvolutionImpl::FpnConvolutionImpl(int64_t in_channels, int64_t out_channels) {
  auto block = register_module("block", std::make_shared<torch::nn::Module>());
  convolution_ =
      block->register_module("0", Conv2d(Conv2dOptions{.in_channels = in_channels,
                                                       .out_channels = out_channels,
                                                       .kernel_size = 3,
                                                       .padding = 1,
                                                       .init = WeightInit::kKaimingUniformFanIn}));
  norm_ = block->register_module("1", GroupNorm(kNumGroups, out_channels));
}

torch::Tensor FpnConvolutionImpl::forward(const torch::Tensor& input, at::IntArrayRef size) {
  torch::Tensor x = norm_(convolution_(input));
  x.relu_();
  return resize_bilinear(x, size);
}

FpnDecoderImpl::FpnDecoderImpl(const std::vector<int64_t>& channels, double drop_rate)
    : drop_rate_(drop_rate) {
  const auto lateral = [](int64_t in_channels) {
    return Conv2d(Conv2dOptions{.in_channels = in_channels,
                                .out_channels = kPyramidChannels,
                                .has_bias = true,
                                .init = WeightInit::kKaimingUniformFanIn});
  };
  laterals_[0] = register_module("p5", lateral(channels[3]));
  for (size_t level = 1; level < laterals_.size(); ++level) {
    auto block =
        register_module("p" + std::to_string(5 - level), std::make_shared<torch::nn::Module>());
    laterals_[level] = block->register_module("skip_conv", lateral(channels[3 - level]));
  }
  auto branches = register_module("seg_blocks", std::make_shared<torch::nn::Module>());
  for (size_t level = 0; level < branches_.size(); ++level) {
    auto branch =
        branches->register_module(std::to_string(level), std::make_shared<torch::nn::Module>());
    auto block = branch->register_module("block", std::make_shared<torch::nn::Module>());
    // A convolution for each step to the finest map, and one for the finest itself.
    const size_t num_steps = branches_.size() - 1 - level;
    for (size_t i = 0; i < std::max<size_t>(num_steps, 1); ++i) {
      branches_[level].push_back(block->register_module(
          std::to_string(i), FpnConvolution(i == 0 ? kPyramidChannels : kSegmentationChannels,
                                            kSegmentationChannels)));
    }
  }
}

torch::Tensor FpnDecoderImpl::forward(const std::vector<torch::Tensor>& maps) {
  const auto size_at = [&maps](size_t level) {  // of the level's map, coarsest first
    return maps[maps.size() - 1 - std::min(level, maps.size() - 1)].sizes().slice(2);
  };
  torch::Tensor pyramid, sum;
  for (size_t level = 0; level < laterals_.size(); ++level) {
    const torch::Tensor lateral = laterals_[level](maps[maps.size() - 1 - level]);
    // (B, 256, h, w) of the coarser map -> of this map's size.
    pyramid = level == 0 ? lateral : at::upsample_nearest2d(pyramid, size_at(level)) + lateral;
    torch::Tensor x = pyramid;
    for (size_t i = 0; i < branches_[level].size(); ++i) {
      x = branches_[level][i](x, size_at(level + 1 + i));
    }
    sum = level == 0 ? x : sum + x;
  }
  return at::feature_dropout(sum, drop_rate_, is_training());
}

Fpn::Fpn(const ModelOptions& options, std::shared_ptr<VisionModel> encoder)
    : PyramidModel(options, std::move(encoder)) {
  const double drop_rate = options.drop_rate > 0 ? options.drop_rate : kPublishedDropRate;
  decoder_ = register_module("decoder", FpnDecoder(pyramid_channels(), drop_rate));
  auto head = register_module("segmentation_head", std::make_shared<torch::nn::Module>());
  classifier_ = head->register_module(
      "0", Conv2d(Conv2dOptions{.in_channels = FpnDecoderImpl::kSegmentationChannels,
                                .out_channels = options.num_classes,
                                .has_bias = true,
                                .init = WeightInit::kXavierUniform}));
}

ModelOutput Fpn::forward(const torch::Tensor& images) {
  const std::vector<torch::Tensor> maps = forward_pyramid(images);
  const torch::Tensor features = decoder_(maps);
  return {resize_bilinear(classifier_(features), images.sizes().slice(2)), features, maps.back()};
}

std::shared_ptr<VisionModel> create_fpn(std::shared_ptr<VisionModel> body,
                                        const ModelOptions& options) {
  return std::make_shared<Fpn>(options, classifier_body(body, options));
}

std::shared_ptr<VisionModel> create_fpn_resnet(const ModelOptions& options) {
  ModelOptions encoder = options;
  encoder.name = options.name.substr(std::string("fpn_").size());
  encoder.num_classes = 0;
  encoder.is_encoder = true;
  return std::make_shared<Fpn>(options,
                               std::make_shared<ResNet>(encoder, resnet_layout(encoder.name)));
}

}  // namespace podium::models
