// Blocks of EfficientNet.
#include "models/backbones/efficientnet.h"

#include <cmath>

#include "base/error.h"
#include "models/backbones/families.h"
#include "models/layers/transformer_layers.h"

namespace podium::models {
namespace {

// One line of the paper's table, before scaling.
struct StageLayout {
  int64_t num_blocks, kernel_size, stride, expansion, channels;
};
constexpr std::array<StageLayout, 7> kStages{{{1, 3, 1, 1, 16},
                                              {2, 3, 2, 6, 24},
                                              {2, 5, 2, 6, 40},
                                              {3, 3, 2, 6, 80},
                                              {3, 5, 1, 6, 112},
                                              {4, 5, 2, 6, 192},
                                              {1, 3, 1, 6, 320}}};
// The last stages of strides 4, 8, 16 and 32.
constexpr std::array<size_t, 4> kPyramidStages{1, 2, 4, 6};
constexpr int64_t kStemChannels = 32, kLastChannels = 1280;
constexpr int64_t kSqueezeRatio = 4;
constexpr double kEps = 1e-5, kTfEps = 1e-3;

// To the nearest multiple of 8 that is no more than a tenth smaller.
int64_t scale_channels(int64_t channels, double factor) {
  const double wanted = static_cast<double>(channels) * factor;
  const int64_t rounded = std::max<int64_t>(8, static_cast<int64_t>(wanted + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * wanted ? rounded + 8 : rounded;
}

int64_t scale_depth(int64_t num_blocks, double factor) {
  return static_cast<int64_t>(std::ceil(static_cast<double>(num_blocks) * factor));
}

Conv2dOptions convolution(int64_t in_channels, int64_t out_channels) {
  return {.in_channels = in_channels,
          .out_channels = out_channels,
          .init = WeightInit::kKaimingNormalGroups};
}

// With stride 2, TensorFlow pads what the last window lacks, the odd pixel to the right; its layers
// then have no padding of their own.
torch::Tensor pad_as_tf(const torch::Tensor& input, int64_t kernel_size, int64_t stride) {
  const auto lack = [&](int64_t size) {
    const int64_t num_windows = (size + stride - 1) / stride;
    return std::max<int64_t>(0, (num_windows - 1) * stride + kernel_size - size);
  };
  const int64_t x = lack(input.size(3)), y = lack(input.size(2));
  return at::constant_pad_nd(input, {x / 2, x - x / 2, y / 2, y - y / 2});
}

int64_t own_padding(int64_t kernel_size, int64_t stride, bool is_tf) {
  return is_tf && stride > 1 ? 0 : kernel_size / 2;
}

}  // namespace

MobileBlockImpl::MobileBlockImpl(const Options& options) : options_(options) {
  const int64_t mid = options.in_channels * options.expansion;
  const double eps = options.is_tf ? kTfEps : kEps;
  const bool expands = options.expansion > 1;
  int64_t norm_number = 1;
  const auto norm = [&](int64_t channels) {
    return register_module("bn" + std::to_string(norm_number++), BatchNorm2d(channels, eps));
  };
  if (expands) {
    expand_ = register_module("conv_pw", Conv2d(convolution(options.in_channels, mid)));
    expand_norm_ = norm(mid);
  }
  Conv2dOptions depthwise = convolution(mid, mid);
  depthwise.kernel_size = options.kernel_size;
  depthwise.stride = options.stride;
  depthwise.padding = own_padding(options.kernel_size, options.stride, options.is_tf);
  depthwise.groups = mid;
  depthwise_ = register_module("conv_dw", Conv2d(depthwise));
  depthwise_norm_ = norm(mid);
  squeeze_ = register_module("se", SqueezeExcite(SqueezeExciteImpl::Options{
                                       .num_channels = mid,
                                       .num_reduced = options.in_channels / kSqueezeRatio,
                                       .reduce_name = "conv_reduce",
                                       .expand_name = "conv_expand",
                                       .is_silu = true}));
  project_ = register_module(expands ? "conv_pwl" : "conv_pw",
                             Conv2d(convolution(mid, options.out_channels)));
  project_norm_ = norm(options.out_channels);
}

torch::Tensor MobileBlockImpl::forward(const torch::Tensor& input) {
  torch::Tensor x = input;
  if (expand_) x = at::silu(expand_norm_(expand_(x)));
  if (options_.is_tf && options_.stride > 1) {
    x = pad_as_tf(x, options_.kernel_size, options_.stride);
  }
  x = squeeze_(at::silu(depthwise_norm_(depthwise_(x))));
  x = project_norm_(project_(x));
  if (options_.stride > 1 || options_.in_channels != options_.out_channels) return x;
  return drop_path(x, options_.drop_path_rate, is_training()) + input;
}

EfficientNet::EfficientNet(const ModelOptions& options, const EfficientNetLayout& layout)
    : Classifier(options), is_tf_(layout.is_tf) {
  const double eps = layout.is_tf ? kTfEps : kEps;
  Conv2dOptions stem =
      convolution(options.in_channels, scale_channels(kStemChannels, layout.width_factor));
  stem.kernel_size = 3;
  stem.stride = 2;
  stem.padding = own_padding(3, 2, layout.is_tf);
  stem_ = register_module("conv_stem", Conv2d(stem));
  stem_norm_ = register_module("bn1", BatchNorm2d(stem.out_channels, eps));

  int64_t total = 0, index = 0;
  for (const StageLayout& stage : kStages) {
    total += scale_depth(stage.num_blocks, layout.depth_factor);
  }
  auto blocks = register_module("blocks", std::make_shared<torch::nn::Module>());
  int64_t channels = stem.out_channels;
  for (size_t i = 0; i < kNumStages; ++i) {
    const StageLayout& stage = kStages[i];
    auto container =
        blocks->register_module(std::to_string(i), std::make_shared<torch::nn::Module>());
    const int64_t num_blocks = scale_depth(stage.num_blocks, layout.depth_factor);
    for (int64_t block = 0; block < num_blocks; ++block, ++index) {
      MobileBlockImpl::Options made;
      made.in_channels = channels;
      made.out_channels = scale_channels(stage.channels, layout.width_factor);
      made.expansion = stage.expansion;
      made.kernel_size = stage.kernel_size;
      made.stride = block == 0 ? stage.stride : 1;
      made.is_tf = layout.is_tf;
      made.drop_path_rate =
          options.drop_path_rate * static_cast<double>(index) / static_cast<double>(total);
      stages_[i].push_back(container->register_module(std::to_string(block), MobileBlock(made)));
      channels = made.out_channels;
    }
    if (std::find(kPyramidStages.begin(), kPyramidStages.end(), i) != kPyramidStages.end()) {
      pyramid_channels_.push_back(channels);
    }
  }
  map_channels_ = scale_channels(kLastChannels, layout.width_factor);
  if (options.is_encoder) return;
  last_ = register_module("conv_head", Conv2d(convolution(channels, map_channels_)));
  last_norm_ = register_module("bn2", BatchNorm2d(map_channels_, eps));
  if (options.num_classes > 0) {
    classifier_ = register_module(
        "classifier", Linear(map_channels_, options.num_classes, WeightInit::kUniformFanOut));
  }
}

std::vector<torch::Tensor> EfficientNet::forward_pyramid(const torch::Tensor& images) {
  check_images(images);
  torch::Tensor x = in_quick_layout(is_tf_ ? pad_as_tf(images, 3, 2) : images);
  x = at::silu(stem_norm_(stem_(x)));
  std::vector<torch::Tensor> maps;
  for (size_t i = 0; i < kNumStages; ++i) {
    for (MobileBlock& block : stages_[i]) {
      x = run_block(x, [block](const torch::Tensor& map) mutable { return block(map); });
    }
    if (i == kPyramidStages[maps.size()]) maps.push_back(x);
  }
  return maps;
}

torch::Tensor EfficientNet::forward_features(const torch::Tensor& images) {
  return at::silu(last_norm_(last_(forward_pyramid(images).back())));
}

ModelOutput EfficientNet::forward_head(const torch::Tensor& map) {
  const torch::Tensor pooled = map.mean({2, 3});
  if (!classifier_) return {pooled, pooled, map};
  return {classifier_(at::dropout(pooled, options().drop_rate, is_training())), pooled, map};
}

std::shared_ptr<VisionModel> create_efficientnet(const ModelOptions& options) {
  return std::make_shared<EfficientNet>(options, efficientnet_layout(options.name));
}

}  // namespace podium::models
