// Colour histograms and the linear layer on them.
#include "models/backbones/color_histogram.h"

#include <fmt/format.h>

#include <array>

#include "base/error.h"
#include "models/backbones/families.h"

namespace podium::models {
namespace {

constexpr int64_t kNumBins = 16;        // per channel
constexpr int64_t kNumJointLevels = 4;  // per channel of the joint histogram
constexpr std::array<double, 3> kMean{0.485, 0.456, 0.406};
constexpr std::array<double, 3> kStd{0.229, 0.224, 0.225};
// Of a single channel: the means of the three.
constexpr double kGrayMean = 0.449, kGrayStd = 0.226;

int64_t num_features(int64_t in_channels) {
  const int64_t num_joint =
      in_channels == 3 ? kNumJointLevels * kNumJointLevels * kNumJointLevels : 0;
  return in_channels * kNumBins + num_joint;
}

// Values in [0, 1] as they were before normalisation. Shapes: (B, C, H, W) -> (B, C, H * W).
torch::Tensor undo_normalisation(const torch::Tensor& images) {
  const bool is_gray = images.size(1) == 1;
  const auto options = images.options();
  const torch::Tensor mean =
      is_gray ? torch::full({1, 1, 1}, kGrayMean, options)
              : torch::tensor({kMean[0], kMean[1], kMean[2]}, options).view({1, 3, 1});
  const torch::Tensor std =
      is_gray ? torch::full({1, 1, 1}, kGrayStd, options)
              : torch::tensor({kStd[0], kStd[1], kStd[2]}, options).view({1, 3, 1});
  return images.flatten(2) * std + mean;
}

torch::Tensor to_levels(const torch::Tensor& values, int64_t num_levels) {
  return (values * num_levels).floor().clamp(0, num_levels - 1).to(torch::kLong);
}

// Standardised histogram of bin numbers. Shapes: (B, ..., N) -> (B, ... * num_bins).
torch::Tensor histogram(const torch::Tensor& bins, int64_t num_bins, const torch::Tensor& like) {
  std::vector<int64_t> shape = bins.sizes().vec();
  shape.back() = num_bins;
  // Counts are whole numbers below 2^24, so their sum does not depend on its order.
  torch::Tensor counts = torch::zeros(shape, like.options());
  counts.scatter_add_(-1, bins, torch::ones({1}, like.options()).expand(bins.sizes()));
  const double num_values = static_cast<double>(bins.size(-1));
  return ((counts * (static_cast<double>(num_bins) / num_values)).sqrt() - 1).flatten(1);
}

}  // namespace

ColorHistogram::ColorHistogram(const ModelOptions& options) : VisionModel(options) {
  if (options.in_channels != 1 && options.in_channels != 3) {
    throw UsageError(fmt::format("model {}: in_channels is {}, expected 1 or 3", options.name,
                                 options.in_channels));
  }
  fc_ = register_module("fc", Linear(num_features(options.in_channels), options.num_classes));
}

torch::Tensor ColorHistogram::features(const torch::Tensor& images) const {
  torch::NoGradGuard no_grad;
  // Half precision would misplace bins; double stays double.
  const torch::Tensor wide = at::isFloatingType(images.scalar_type()) && images.element_size() >= 4
                                 ? images
                                 : images.to(torch::kFloat32);
  const torch::Tensor values = undo_normalisation(wide);
  torch::Tensor all = histogram(to_levels(values, kNumBins), kNumBins, wide);
  if (images.size(1) != 3) return all;
  const torch::Tensor level = to_levels(values, kNumJointLevels);
  const torch::Tensor joint =
      (level.select(1, 0) * kNumJointLevels + level.select(1, 1)) * kNumJointLevels +
      level.select(1, 2);
  return at::cat({all, histogram(joint, kNumJointLevels * kNumJointLevels * kNumJointLevels, wide)},
                 1);
}

ModelOutput ColorHistogram::forward(const torch::Tensor& images) {
  check_images(images);
  const torch::Tensor values = features(images);
  return {fc_(at::dropout(values, options().drop_rate, is_training())), values, {}};
}

std::shared_ptr<VisionModel> create_color_histogram(const ModelOptions& options) {
  return std::make_shared<ColorHistogram>(options);
}

}  // namespace podium::models
