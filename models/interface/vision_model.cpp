// What all models share.
#include "models/interface/vision_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace podium::models {

std::vector<torch::Tensor> VisionModel::forward_pyramid(const torch::Tensor&) {
  throw UsageError(fmt::format("model {} has no feature maps", options_.name));
}

std::vector<int64_t> VisionModel::pyramid_channels() const {
  throw UsageError(fmt::format("model {} has no feature maps", options_.name));
}

void VisionModel::recompute_blocks(bool is_on) {
  is_recomputed_ = is_on;
  if (&backbone() != this) backbone().recompute_blocks(is_on);
}

void VisionModel::check_images(const torch::Tensor& images) const {
  if (images.dim() == 4 && images.size(1) == options_.in_channels && images.numel() > 0) return;
  throw UsageError(fmt::format(
      "model {}: images have shape ({}), expected (B, {}, H, W); make the model with the images' "
      "number of channels, or convert the images",
      options_.name, fmt::join(images.sizes(), ", "), options_.in_channels));
}

}  // namespace podium::models
