// Max pooling with an error that names the image.
#include "models/layers/halve_map.h"

#include <fmt/format.h>

#include "base/error.h"

namespace podium::models {

torch::Tensor halve_map(const torch::Tensor& map, const std::string& model,
                        const torch::Tensor& images) {
  if (map.size(2) >= 2 && map.size(3) >= 2) return at::max_pool2d(map, {2, 2});
  throw UsageError(fmt::format(
      "model {}: images of {} x {} px give a map of {} x {} places, a pyramid takes at least 2 x "
      "2; use larger images",
      model, images.size(2), images.size(3), map.size(2), map.size(3)));
}

}  // namespace podium::models
