// timm's rule.
#include "models/layers/adapt_channels.h"

namespace podium::models {

torch::Tensor adapt_channels(const torch::Tensor& weight, int64_t num_channels) {
  const torch::Tensor wide =
      weight.scalar_type() == torch::kFloat64 ? weight : weight.to(torch::kFloat32);
  if (num_channels == 1) return wide.sum(1, /*keepdim=*/true);
  const int64_t num_repeats = (num_channels + weight.size(1) - 1) / weight.size(1);
  return wide.repeat({1, num_repeats, 1, 1}).narrow(1, 0, num_channels) *
         (static_cast<double>(weight.size(1)) / static_cast<double>(num_channels));
}

}  // namespace podium::models
