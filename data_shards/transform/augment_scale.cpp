// The ops `random_scale` (of a sample) and `multi_scale` (of a micro-batch).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "data_shards/transform/op_parameters.h"

namespace podium::data_shards {
namespace {

class RandomScale : public TransformOp {
 public:
  explicit RandomScale(const PartSpec& spec)
      : p_(spec.get_float("p")),
        limit_(spec.get_float("limit")),
        interpolation_(interpolation_of(spec)) {
    if (limit_ >= 1) fail_op(spec, fmt::format("limit is {}; give less than 1", limit_));
  }
  void resolve(ImageSize* size, Rng* rng, std::vector<Step>* steps) const override {
    const bool is_chosen = rng->bernoulli(p_);
    const double factor = rng->uniform(1 - limit_, 1 + limit_);
    if (!is_chosen) return;
    const PixelRect whole{0, 0, size->width, size->height};
    const auto scaled = [&](int length) { return std::max(1, static_cast<int>(length * factor)); };
    *size = {scaled(size->height), scaled(size->width)};
    steps->push_back({.kind = StepKind::kResample,
                      .box = whole,
                      .size = *size,
                      .interpolation = interpolation_});
  }
  std::optional<ImageSize> fixed_size(std::optional<ImageSize>) const override {
    return std::nullopt;
  }

 private:
  double p_, limit_;
  Interpolation interpolation_;
};

std::vector<int64_t> sizes_of(const PartSpec& spec) {
  const std::vector<int64_t> sizes = spec.get_ints("sizes");
  if (sizes.empty()) fail_op(spec, "sizes is empty; give one size or more");
  return sizes;
}

// Stands for a resize to the largest size until the micro-batch is known.
PartSpec as_resize(const PartSpec& spec, int64_t size) {
  return {"resize", {{"size", {size}}, {"interpolation", spec.get_string("interpolation")}}};
}

}  // namespace

std::unique_ptr<TransformOp> create_multi_scale(const PartSpec& spec) {
  const std::vector<int64_t> sizes = sizes_of(spec);
  return make_transform_op(as_resize(spec, *std::max_element(sizes.begin(), sizes.end())));
}

PartSpec choose_size(const PartSpec& spec, const BatchKey& key) {
  const std::vector<int64_t> sizes = sizes_of(spec);
  const bool is_per_step = spec.get_string("per") == "step";
  Rng rng(key.seed, RandomPurpose::kBatchSize, static_cast<uint64_t>(key.epoch),
          is_per_step ? 1 + static_cast<uint64_t>(key.step) : 0);
  return as_resize(spec, sizes[rng.below(sizes.size())]);
}

std::unique_ptr<TransformOp> create_random_scale(const PartSpec& spec) {
  return std::make_unique<RandomScale>(spec);
}

}  // namespace podium::data_shards
