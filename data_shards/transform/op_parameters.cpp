// Parameters of transforms, checked.
#include "data_shards/transform/op_parameters.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace podium::data_shards {

void fail_op(const PartSpec& spec, const std::string& message) {
  throw RecipeError(fmt::format("transform {}: {}", spec.name, message));
}

ImageSize size_of(const PartSpec& spec) {
  const std::vector<int64_t> size = spec.get_ints("size");
  if (size.empty() || size.size() > 2) {
    fail_op(spec,
            fmt::format("size has {} numbers; give [height, width] or one number for a square",
                        size.size()));
  }
  return {static_cast<int>(size.front()), static_cast<int>(size.back())};
}

std::pair<double, double> interval_of(const PartSpec& spec, const std::string& key) {
  const std::vector<double> range = spec.get_floats(key);
  if (range.size() != 2 || range[0] > range[1]) {
    fail_op(spec, fmt::format("{} is [{}]; give [low, high] with low <= high", key,
                              fmt::join(range, ", ")));
  }
  return {range[0], range[1]};
}

std::pair<double, double> range_of(const PartSpec& spec, const std::string& key) {
  const std::vector<double> range = spec.get_floats(key);
  if (range.size() != 2 || !(range[0] > 0) || range[0] > range[1]) {
    fail_op(spec, fmt::format("{} is [{}]; give [low, high] with 0 < low <= high", key,
                              fmt::join(range, ", ")));
  }
  return {range[0], range[1]};
}

Interpolation interpolation_of(const PartSpec& spec) {
  return spec.get_string("interpolation") == "bicubic" ? Interpolation::kBicubic
                                                       : Interpolation::kBilinear;
}

Sampling sampling_of(const PartSpec& spec) {
  const std::string name = spec.get_string("sampling");
  return name == "nearest"    ? Sampling::kNearest
         : name == "bilinear" ? Sampling::kBilinear
                              : Sampling::kBicubic;
}

std::array<uint8_t, 3> fill_of(const PartSpec& spec) {
  const std::vector<int64_t> values = spec.get_ints("fill");
  if (values.size() != 3) {
    fail_op(spec, fmt::format("fill has {} numbers; give [red, green, blue]", values.size()));
  }
  return {static_cast<uint8_t>(values[0]), static_cast<uint8_t>(values[1]),
          static_cast<uint8_t>(values[2])};
}

int pick(Rng* rng, int n) { return std::min(static_cast<int>(rng->uniform() * n), n - 1); }

}  // namespace podium::data_shards
