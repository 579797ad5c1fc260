// ResNet and ResNeXt.
#include "models/backbones/resnet.h"

#include "models/backbones/families.h"
#include "models/layers/transformer_layers.h"

namespace podium::models {
namespace {

constexpr std::array<int64_t, 4> kWidths{64, 128, 256, 512};
constexpr int64_t kStemChannels = 64;

}  // namespace

ResNetBlockImpl::ResNetBlockImpl(int64_t in_channels, int64_t width, int64_t stride,
                                 const ResNetLayout& layout, double drop_path_rate)
    : drop_path_rate_(drop_path_rate) {
  const auto add = [this](int64_t in, int64_t out, int64_t kernel_size, int64_t conv_stride,
                          int64_t groups) {
    const std::string number = std::to_string(convolutions_.size() + 1);
    convolutions_.push_back(register_module("conv" + number, Conv2d(Conv2dOptions{
                                                                 .in_channels = in,
                                                                 .out_channels = out,
                                                                 .kernel_size = kernel_size,
                                                                 .stride = conv_stride,
                                                                 .padding = kernel_size / 2,
                                                                 .groups = groups,
                                                             })));
    norms_.push_back(register_module("bn" + number, BatchNorm2d(out)));
  };
  const int64_t out = out_channels(width, layout.is_bottleneck);
  if (layout.is_bottleneck) {
    const int64_t inner = width / 64 * layout.group_width * layout.groups;
    add(in_channels, inner, 1, 1, 1);
    add(inner, inner, 3, stride, layout.groups);
    add(inner, out, 1, 1, 1);
  } else {
    add(in_channels, width, 3, stride, 1);
    add(width, out, 3, 1, 1);
  }
  if (stride == 1 && in_channels == out) return;
  // The reference keeps the pair in a Sequential, hence the names downsample.0 and downsample.1.
  auto downsample = register_module("downsample", std::make_shared<torch::nn::Module>());
  shortcut_convolution_ = downsample->register_module(
      "0",
      Conv2d(Conv2dOptions{.in_channels = in_channels, .out_channels = out, .stride = stride}));
  shortcut_norm_ = downsample->register_module("1", BatchNorm2d(out));
}

torch::Tensor ResNetBlockImpl::forward(const torch::Tensor& input) {
  torch::Tensor x = input;
  for (size_t i = 0; i < convolutions_.size(); ++i) {
    x = norms_[i](convolutions_[i](x));
    if (i + 1 < convolutions_.size()) x.relu_();
  }
  const torch::Tensor shortcut =
      shortcut_convolution_ ? shortcut_norm_(shortcut_convolution_(input)) : input;
  return drop_path(x, drop_path_rate_, is_training()).add_(shortcut).relu_();
}

ResNet::ResNet(const ModelOptions& options, const ResNetLayout& layout)
    : Classifier(options), is_bottleneck_(layout.is_bottleneck) {
  conv1_ = register_module("conv1", Conv2d(Conv2dOptions{.in_channels = options.in_channels,
                                                         .out_channels = kStemChannels,
                                                         .kernel_size = 7,
                                                         .stride = 2,
                                                         .padding = 3}));
  bn1_ = register_module("bn1", BatchNorm2d(kStemChannels));
  int64_t num_blocks = 0;
  for (const int64_t count : layout.num_blocks) num_blocks += count;
  const std::vector<double> rates = drop_path_rates(options.drop_path_rate, num_blocks);
  size_t index = 0;
  int64_t channels = kStemChannels;
  for (size_t stage = 0; stage < stages_.size(); ++stage) {
    auto container =
        register_module("layer" + std::to_string(stage + 1), std::make_shared<torch::nn::Module>());
    for (int64_t block = 0; block < layout.num_blocks[stage]; ++block) {
      const int64_t stride = block == 0 && stage > 0 ? 2 : 1;
      stages_[stage].push_back(container->register_module(
          std::to_string(block),
          ResNetBlock(channels, kWidths[stage], stride, layout, rates[index++])));
      channels = ResNetBlockImpl::out_channels(kWidths[stage], layout.is_bottleneck);
    }
  }
  if (options.num_classes > 0) fc_ = register_module("fc", Linear(channels, options.num_classes));
}

std::vector<torch::Tensor> ResNet::forward_pyramid(const torch::Tensor& images) {
  check_images(images);
  torch::Tensor x = bn1_(conv1_(in_quick_layout(images)));
  x = at::max_pool2d(x.relu_(), {3, 3}, {2, 2}, {1, 1});
  std::vector<torch::Tensor> maps;
  for (auto& stage : stages_) {
    for (ResNetBlock& block : stage) {
      x = run_block(x, [block](const torch::Tensor& map) mutable { return block(map); });
    }
    maps.push_back(x);
  }
  return maps;
}

torch::Tensor ResNet::forward_features(const torch::Tensor& images) {
  return forward_pyramid(images).back();
}

ModelOutput ResNet::forward_head(const torch::Tensor& map) {
  const torch::Tensor pooled = at::adaptive_avg_pool2d(map, {1, 1}).flatten(1);
  if (!fc_) return {pooled, pooled, map};
  return {fc_(at::dropout(pooled, options().drop_rate, is_training())), pooled, map};
}

std::vector<int64_t> ResNet::pyramid_channels() const {
  std::vector<int64_t> channels;
  for (const int64_t width : kWidths) {
    channels.push_back(ResNetBlockImpl::out_channels(width, is_bottleneck_));
  }
  return channels;
}

std::shared_ptr<VisionModel> create_resnet(const ModelOptions& options) {
  return std::make_shared<ResNet>(options, resnet_layout(options.name));
}

}  // namespace podium::models
