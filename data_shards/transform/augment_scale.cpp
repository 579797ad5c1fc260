// The ops `random_scale` (of a sample) and `multi_scale` (of a micro-batch).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "data_shards/transform/transform_entry.h"

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
std::unique_ptr<TransformOp> make_multi_scale(const PartSpec& spec) {
  const std::vector<int64_t> sizes = sizes_of(spec);
  return make_transform_op(as_resize(spec, *std::max_element(sizes.begin(), sizes.end())));
}

Schema random_scale_schema() {
  Schema schema = probability_schema(0.5);
  schema.add_float("limit", 0.2, "", 0, 0.99, "A factor from 1 - this to 1 + this.");
  add_interpolation(&schema);
  return schema;
}
Schema multi_scale_schema() {
  Schema schema;
  add_list(&schema, FieldType::kIntList, "sizes", nullptr, "px", 1, kMaxSizePx,
           "Width and height of the output: one of these, each as likely.");
  schema.add_string("per", "step", "How long a size holds, for all samples alike.",
                    {"step", "epoch"});
  add_interpolation(&schema);
  return schema;
}

}  // namespace

PartSpec choose_for_batch(const PartSpec& spec, const BatchKey& key) {
  if (spec.name != "multi_scale") return spec;
  const std::vector<int64_t> sizes = sizes_of(spec);
  const bool is_per_step = spec.get_string("per") == "step";
  Rng rng(key.seed, RandomPurpose::kBatchSize, static_cast<uint64_t>(key.epoch),
          is_per_step ? 1 + static_cast<uint64_t>(key.step) : 0);
  return as_resize(spec, sizes[rng.below(sizes.size())]);
}

std::vector<TransformEntry> scale_entries() {
  return {
      {{"random_scale", "The whole image larger or smaller; a crop has to follow.",
        random_scale_schema()},
       &make<RandomScale>},
      {{"multi_scale", "The whole image to a size that is drawn for a step or an epoch.",
        multi_scale_schema()},
       &make_multi_scale},
  };
}

}  // namespace podium::data_shards
