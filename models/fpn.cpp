// The pyramid decoder and the model around it.
#include "models/fpn.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "models/resnet.h"

namespace podium::models {
namespace {

constexpr int64_t kStride = 32;  // px: of the coarsest map
constexpr int64_t kNumGroups = 32;
constexpr double kPublishedDropRate = 0.2;

torch::Tensor upsample_bilinear(const torch::Tensor& input, int64_t factor) {
  return at::upsample_bilinear2d(input, {input.size(2) * factor, input.size(3) * factor},
                                 /*align_corners=*/true);
}

}  // namespace

FpnConvolutionImpl::FpnConvolutionImpl(int64_t in_channels, int64_t out_channels,
                                       bool has_upsampling)
    : has_upsampling_(has_upsampling) {
  auto block = register_module("block", std::make_shared<torch::nn::Module>());
  convolution_ =
      block->register_module("0", Conv2d(Conv2dOptions{.in_channels = in_channels,
                                                       .out_channels = out_channels,
                                                       .kernel_size = 3,
                                                       .padding = 1,
                                                       .init = WeightInit::kKaimingUniformFanIn}));
  norm_ = block->register_module("1", GroupNorm(kNumGroups, out_channels));
}

torch::Tensor FpnConvolutionImpl::forward(const torch::Tensor& input) {
  torch::Tensor x = norm_(convolution_(input));
  x.relu_();
  return has_upsampling_ ? upsample_bilinear(x, 2) : x;
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
    // Each convolution but the finest branch's doubles the map: 3, 2, 1, 0 doublings end at
    // stride 4.
    const size_t num_doublings = branches_.size() - 1 - level;
    for (size_t i = 0; i < std::max<size_t>(num_doublings, 1); ++i) {
      branches_[level].push_back(block->register_module(
          std::to_string(i), FpnConvolution(i == 0 ? kPyramidChannels : kSegmentationChannels,
                                            kSegmentationChannels, num_doublings > 0)));
    }
  }
}

torch::Tensor FpnDecoderImpl::forward(const std::vector<torch::Tensor>& maps) {
  torch::Tensor pyramid, sum;
  for (size_t level = 0; level < laterals_.size(); ++level) {
    const torch::Tensor lateral = laterals_[level](maps[maps.size() - 1 - level]);
    // (B, 256, h, w) -> (B, 256, 2h, 2w), the size of the next finer map.
    pyramid = level == 0
                  ? lateral
                  : at::upsample_nearest2d(pyramid, {lateral.size(2), lateral.size(3)}) + lateral;
    torch::Tensor x = pyramid;
    for (FpnConvolution& convolution : branches_[level]) x = convolution(x);
    sum = level == 0 ? x : sum + x;
  }
  return at::feature_dropout(sum, drop_rate_, is_training());
}

Fpn::Fpn(const ModelOptions& options, std::shared_ptr<VisionModel> encoder)
    : VisionModel(options), encoder_(std::move(encoder)) {
  register_module("encoder", encoder_);
  const double drop_rate = options.drop_rate > 0 ? options.drop_rate : kPublishedDropRate;
  decoder_ = register_module("decoder", FpnDecoder(encoder_->pyramid_channels(), drop_rate));
  auto head = register_module("segmentation_head", std::make_shared<torch::nn::Module>());
  classifier_ = head->register_module(
      "0", Conv2d(Conv2dOptions{.in_channels = FpnDecoderImpl::kSegmentationChannels,
                                .out_channels = options.num_classes,
                                .has_bias = true,
                                .init = WeightInit::kXavierUniform}));
}

std::vector<torch::Tensor> Fpn::forward_pyramid(const torch::Tensor& images) {
  check_images(images);
  const auto next = [](int64_t size) { return (size + kStride - 1) / kStride * kStride; };
  const int64_t height = images.size(2), width = images.size(3);
  if (height % kStride != 0 || width % kStride != 0) {
    throw UsageError(fmt::format(
        "model {}: images are {} x {} px, height and width must be multiples of {}; the next size "
        "is {} x {}",
        options().name, height, width, kStride, next(height), next(width)));
  }
  return encoder_->forward_pyramid(images);
}

ModelOutput Fpn::forward(const torch::Tensor& images) {
  const std::vector<torch::Tensor> maps = forward_pyramid(images);
  const torch::Tensor features = decoder_(maps);
  return {upsample_bilinear(classifier_(features), 4), features, maps.back()};
}

RegistryEntries fpn_entries() {
  const auto build = [](const ModelOptions& options) -> std::shared_ptr<VisionModel> {
    ModelOptions encoder = options;
    encoder.name = options.name.substr(std::string("fpn_").size());
    encoder.num_classes = 0;
    return std::make_shared<Fpn>(options,
                                 std::make_shared<ResNet>(encoder, resnet_layout(encoder.name)));
  };
  RegistryEntries entries;
  for (const char* depth : {"18", "34", "50"}) {
    ModelInfo info;
    info.name = fmt::format("fpn_resnet{}", depth);
    info.family = "fpn";
    info.task = ModelTask::kSegmentation;
    info.image_size = 256;
    info.naming = "segmentation_models_pytorch";
    info.help = fmt::format("feature pyramid segmentation on ResNet-{}", depth);
    entries.push_back({info, build, {}});
  }
  return entries;
}

}  // namespace podium::models
