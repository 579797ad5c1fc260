// The list of all transform ops, and what their families share. Read next: transform_ops.cpp,
// augment_policy.h.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "data_shards/transform/transform_entry.h"
#include "data_shards/transform/transforms.h"

namespace podium::data_shards {
namespace {

const std::vector<TransformEntry>& entries() {
  static const std::vector<TransformEntry> list = [] {
    std::vector<TransformEntry> all;
    for (const auto& family : {basic_entries(), scale_entries(), affine_entries(), color_entries(),
                               quality_entries(), erase_entries(), policy_entries()}) {
      all.insert(all.end(), family.begin(), family.end());
    }
    return all;
  }();
  return list;
}

}  // namespace

std::vector<PartInfo> transform_schemas() {
  std::vector<PartInfo> schemas;
  for (const TransformEntry& entry : entries()) schemas.push_back(entry.schema);
  return schemas;
}

std::unique_ptr<TransformOp> make_transform_op(const PartSpec& spec) {
  std::vector<std::string> names;
  for (const TransformEntry& entry : entries()) {
    if (entry.schema.name == spec.name) return entry.create(spec);
    names.push_back(entry.schema.name);
  }
  throw RecipeError(fmt::format("unknown transform \"{}\"{}; there are {}", spec.name,
                                did_you_mean(spec.name, names), join(names, ", ")));
}

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

void add_list(Schema* schema, FieldType type, const std::string& key, nlohmann::json value,
              const std::string& unit, double min, double max, const std::string& help) {
  Field field;
  field.key = key;
  field.type = type;
  field.default_value = std::move(value);
  field.unit = unit;
  field.min = min;
  field.max = max;
  field.help = help;
  schema->add(std::move(field));
}

void add_sampling(Schema* schema, const std::string& sampling, const std::array<int, 3>& fill) {
  schema->add_string("sampling", sampling, "How a turned, sheared or shifted image is sampled.",
                     {"nearest", "bilinear", "bicubic"});
  add_list(schema, FieldType::kIntList, "fill", fill, "0..255", 0, 255,
           "Colour outside of the image: [red, green, blue].");
}

void add_interpolation(Schema* schema) {
  schema->add_string("interpolation", "bilinear", "Filter of the antialiased resampling.",
                     {"bilinear", "bicubic"});
}

Schema probability_schema(double p) {
  Schema schema;
  schema.add_float("p", p, "", 0, 1, "Probability.");
  return schema;
}

}  // namespace podium::data_shards
