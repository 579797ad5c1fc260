// Layers, blocks and names of TResNet.
#include "models/backbones/tresnet.h"

#include <fmt/format.h>

#include "base/error.h"
#include "models/backbones/families.h"
#include "models/interface/name_rules.h"
#include "models/layers/adapt_channels.h"
#include "models/layers/transformer_layers.h"

namespace podium::models {
namespace {

constexpr int64_t kBlock = 4;      // px: of space-to-depth
constexpr int64_t kSmallest = 20;  // px: the last blur still has two places to reflect
constexpr double kStemSlope = 1e-2, kBlockSlope = 1e-3, kOfficialV2Slope = 1e-6;
constexpr double kNoActivation = -1.0;
constexpr double kInPlaceEps = 1e-5;  // in-place ABN's scale is |weight| + eps
constexpr int64_t kSmallestReduction = 64;

// (B, C, H, W) -> (B, 16 C, H / 4, W / 4), channels in the order (row, column, channel).
torch::Tensor space_to_depth(const torch::Tensor& images) {
  const int64_t height = images.size(2) / kBlock, width = images.size(3) / kBlock;
  return images.reshape({images.size(0), images.size(1), height, kBlock, width, kBlock})
      .permute({0, 3, 5, 1, 2, 4})
      .reshape({images.size(0), images.size(1) * kBlock * kBlock, height, width});
}

// Every second place of the map smoothed by [1, 2, 1] x [1, 2, 1] / 16, reflected at its borders.
torch::Tensor blur_pool(const torch::Tensor& map) {
  // 1/4, 1/2, 1/4, made where the map lies: a copy from the host would wait for a GPU.
  torch::Tensor row = at::full({3}, 0.25, map.options());
  row.select(0, 1).fill_(0.5);
  const torch::Tensor filter = (row.unsqueeze(1) * row).expand({map.size(1), 1, 3, 3}).contiguous();
  return at::conv2d(at::reflection_pad2d(map, {1, 1, 1, 1}), filter, /*bias=*/{}, /*stride=*/2,
                    /*padding=*/at::IntArrayRef{0, 0}, /*dilation=*/1, /*groups=*/map.size(1));
}

bool is_norm_weight(const std::string& name) { return name.ends_with("bn.weight"); }

StateDict from_official(const StateDict& weights) {
  static const std::vector<NameRule> kRules{
      {R"(\.(conv\d|downsample\.\d)\.0\.0\.)", ".$1.conv."},
      {R"(\.(conv\d|downsample\.\d)\.0\.1\.)", ".$1.bn."},
      {R"(\.(conv\d|downsample\.\d)\.0\.)", ".$1.conv."},
      {R"(\.(conv\d|downsample\.\d)\.1\.)", ".$1.bn."},
  };
  StateDict kept = weights;
  // Filters that the blur computes itself.
  std::erase_if(kept, [](const auto& item) { return item.first.ends_with(".op.filt"); });
  StateDict own = rename(kept, kRules);
  for (auto& [name, tensor] : own) {
    if (is_norm_weight(name)) tensor = tensor.abs() + kInPlaceEps;
  }
  return own;
}

// Names alone.
StateDict to_official_names(const StateDict& own) {
  const bool is_v2 = own.contains("body.layer2.0.conv3.conv.weight");
  // The convolution before a blur lies one level deeper: the second of a bottleneck, the first of a
  // basic block.
  std::vector<NameRule> rules;
  for (const char* blurred :
       is_v2 ? std::vector{R"(^(body\.layer[234]\.0\.conv2)\.)"}
             : std::vector{R"(^(body\.layer[34]\.0\.conv2)\.)", R"(^(body\.layer2\.0\.conv1)\.)"}) {
    rules.emplace_back((blurred + std::string("conv\\.")).c_str(), "$1.0.0.");
    rules.emplace_back((blurred + std::string("bn\\.")).c_str(), "$1.0.1.");
  }
  rules.emplace_back(R"(\.(conv\d|downsample\.\d)\.conv\.)", ".$1.0.");
  rules.emplace_back(R"(\.(conv\d|downsample\.\d)\.bn\.)", ".$1.1.");
  return rename(own, rules);
}

StateDict to_official(const StateDict& own) {
  StateDict weights = own;
  for (auto& [name, tensor] : weights) {
    if (!is_norm_weight(name)) continue;
    const double least = tensor.min().item<double>();
    if (least < kInPlaceEps) {
      throw DataError(fmt::format(
          "weights: {} holds {}, the official naming's in-place batch norm has scales of at least "
          "{}; convert to timm's naming",
          name, least, kInPlaceEps));
    }
    tensor = tensor - kInPlaceEps;
  }
  return to_official_names(weights);
}

}  // namespace

BlurredConvolutionImpl::BlurredConvolutionImpl(int64_t in_channels, int64_t out_channels,
                                               int64_t kernel_size, int64_t stride, double slope,
                                               double norm_weight)
    : stride_(stride), slope_(slope) {
  convolution_ = register_module("conv", Conv2d(Conv2dOptions{.in_channels = in_channels,
                                                              .out_channels = out_channels,
                                                              .kernel_size = kernel_size,
                                                              .padding = kernel_size / 2}));
  norm_ = register_module("bn", BatchNorm2d(out_channels, 1e-5, 0.1, norm_weight));
}

torch::Tensor BlurredConvolutionImpl::forward(const torch::Tensor& input) {
  torch::Tensor x = norm_(convolution_(input));
  if (slope_ >= 0) x = at::leaky_relu_(x, slope_);
  return stride_ == 1 ? x : blur_pool(x);
}

SqueezeExciteImpl::SqueezeExciteImpl(const Options& options) : is_silu_(options.is_silu) {
  const auto layer = [&options](int64_t in_channels, int64_t out_channels) {
    return Conv2d(Conv2dOptions{.in_channels = in_channels,
                                .out_channels = out_channels,
                                .has_bias = true,
                                .has_drawn_bias = options.has_drawn_bias});
  };
  reduce_ = register_module(options.reduce_name, layer(options.num_channels, options.num_reduced));
  expand_ = register_module(options.expand_name, layer(options.num_reduced, options.num_channels));
}

torch::Tensor SqueezeExciteImpl::forward(const torch::Tensor& input) {
  const torch::Tensor reduced = reduce_(input.mean({2, 3}, /*keepdim=*/true));
  return input * at::sigmoid(expand_(is_silu_ ? at::silu(reduced) : at::relu(reduced)));
}

TResNetBlockImpl::TResNetBlockImpl(const Options& options) : options_(options) {
  // A branch starts at zero: its last norm does.
  const auto add = [this](int64_t in, int64_t out, int64_t kernel_size, int64_t stride,
                          double slope) {
    convolutions_.push_back(register_module(
        "conv" + std::to_string(convolutions_.size() + 1),
        BlurredConvolution(in, out, kernel_size, stride, slope, slope < 0 ? 0.0 : 1.0)));
  };
  const int64_t planes = options.planes, out = options.out_channels();
  if (options.is_bottleneck) {
    add(options.in_channels, planes, 1, 1, options.slope);
    add(planes, planes, 3, options.stride, options.slope);
    add(planes, out, 1, 1, kNoActivation);
  } else {
    add(options.in_channels, planes, 3, options.stride, options.slope);
    add(planes, planes, 3, 1, kNoActivation);
  }
  if (options.has_squeeze) {
    const int64_t reduced = std::max(out / (options.is_bottleneck ? 8 : 4), kSmallestReduction);
    squeeze_ = register_module(
        "se", SqueezeExcite(SqueezeExciteImpl::Options{
                  .num_channels = planes, .num_reduced = reduced, .has_drawn_bias = true}));
  }
  if (options.stride == 1 && options.in_channels == out) return;
  // The reference keeps pooling and convolution in a Sequential.
  auto downsample = register_module("downsample", std::make_shared<torch::nn::Module>());
  shortcut_ = downsample->register_module(
      options.stride == 1 ? "0" : "1",
      BlurredConvolution(options.in_channels, out, 1, 1, kNoActivation));
}

torch::Tensor TResNetBlockImpl::forward(const torch::Tensor& input) {
  // A bottleneck is squeezed before its last convolution, a basic block after it.
  const size_t squeezed = options_.is_bottleneck ? 1 : convolutions_.size() - 1;
  torch::Tensor x = input;
  for (size_t i = 0; i < convolutions_.size(); ++i) {
    x = convolutions_[i](x);
    if (squeeze_ && i == squeezed) x = squeeze_(x);
  }
  torch::Tensor shortcut = input;
  if (options_.stride == 2) {
    shortcut = at::avg_pool2d(shortcut, {2, 2}, {2, 2}, {0, 0}, /*ceil_mode=*/true,
                              /*count_include_pad=*/false);
  }
  if (shortcut_) shortcut = shortcut_(shortcut);
  return (drop_path(x, options_.drop_path_rate, is_training()) + shortcut).relu_();
}

TResNet::TResNet(const ModelOptions& options, const TResNetLayout& layout) : Classifier(options) {
  const bool is_official_v2 = layout.is_v2 && options.naming == "official";
  auto planes = static_cast<int64_t>(64 * layout.width_factor);
  if (layout.is_v2) planes = planes / 8 * 8;
  auto body = register_module("body", std::make_shared<torch::nn::Module>());
  stem_ = body->register_module(
      "conv1", BlurredConvolution(options.in_channels * kBlock * kBlock, planes, 3, 1,
                                  is_official_v2 ? kOfficialV2Slope : kStemSlope));
  int64_t total = 0;
  for (const int64_t count : layout.num_blocks) total += count;
  const std::vector<double> rates = drop_path_rates(options.drop_path_rate, total);
  size_t index = 0;
  TResNetBlockImpl::Options block;
  block.in_channels = planes;
  block.slope = is_official_v2 ? kOfficialV2Slope : kBlockSlope;
  for (size_t stage = 0; stage < stages_.size(); ++stage) {
    auto container = body->register_module("layer" + std::to_string(stage + 1),
                                           std::make_shared<torch::nn::Module>());
    block.planes = planes << stage;
    block.is_bottleneck = layout.is_v2 || stage >= 2;
    block.has_squeeze = stage < 3;
    for (int64_t i = 0; i < layout.num_blocks[stage]; ++i) {
      block.stride = i == 0 && stage > 0 ? 2 : 1;
      block.drop_path_rate = rates[index++];
      stages_[stage].push_back(container->register_module(std::to_string(i), TResNetBlock(block)));
      block.in_channels = block.out_channels();
    }
    channels_.push_back(block.in_channels);
  }
  if (options.num_classes == 0) return;
  auto head = register_module("head", std::make_shared<torch::nn::Module>());
  fc_ = head->register_module(
      "fc",
      Linear(channels_.back(), options.num_classes,
             LinearOptions{.init = WeightInit::kNormal02, .gain = 0.5, .has_drawn_bias = true}));
}

std::vector<torch::Tensor> TResNet::forward_pyramid(const torch::Tensor& images) {
  check_images(images);
  const int64_t height = images.size(2), width = images.size(3);
  if (height % kBlock != 0 || width % kBlock != 0 || std::min(height, width) < kSmallest) {
    throw UsageError(fmt::format(
        "model {}: images are {} x {} px, height and width must be multiples of {}, at least {}",
        options().name, height, width, kBlock, kSmallest));
  }
  torch::Tensor x = stem_(in_quick_layout(space_to_depth(images)));
  std::vector<torch::Tensor> maps;
  for (auto& stage : stages_) {
    for (TResNetBlock& block : stage) {
      x = run_block(x, [block](const torch::Tensor& map) mutable { return block(map); });
    }
    maps.push_back(x);
  }
  return maps;
}

torch::Tensor TResNet::forward_features(const torch::Tensor& images) {
  return forward_pyramid(images).back();
}

ModelOutput TResNet::forward_head(const torch::Tensor& map) {
  const torch::Tensor pooled = map.mean({2, 3});
  if (!fc_) return {pooled, pooled, map};
  return {fc_(at::dropout(pooled, options().drop_rate, is_training())), pooled, map};
}

void TResNet::adapt_weights(StateDict& weights) const {
  // Space-to-depth keeps the channels of one place together: (out, 16 * 3, 3, 3) is adapted for
  // each of the 16 places.
  const auto stem = weights.find(first_convolution());
  constexpr int64_t kPublishedChannels = 3;
  const int64_t places = kBlock * kBlock;
  if (options().in_channels == kPublishedChannels || stem == weights.end() ||
      stem->second.dim() != 4 || stem->second.size(1) != places * kPublishedChannels) {
    return;
  }
  const torch::Tensor& weight = stem->second;
  const torch::Tensor by_place =
      weight.unflatten(1, {places, kPublishedChannels}).transpose(0, 1).flatten(0, 1);
  stem->second = adapt_channels(by_place, options().in_channels)
                     .unflatten(0, {places, weight.size(0)})
                     .transpose(0, 1)
                     .flatten(1, 2);
}

std::vector<Naming> tresnet_namings() {
  return {{"timm", {"body.conv1.conv.weight"}, nullptr, nullptr},
          {"official", {"body.conv1.0.weight"}, from_official, to_official, to_official_names}};
}

std::shared_ptr<VisionModel> create_tresnet(const ModelOptions& options) {
  return std::make_shared<TResNet>(options, tresnet_layout(options.name));
}

}  // namespace podium::models
