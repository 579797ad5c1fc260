// What every family of transform ops needs: its entries in the registry, and readers of parameters
// that several share. Read next: transform_registry.cpp.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data_shards/transform/transform_steps.h"

namespace podium::data_shards {

// One op that recipes may name.
struct TransformEntry {
  PartInfo schema;
  std::unique_ptr<TransformOp> (*create)(const PartSpec&);
};

template <typename Op>
std::unique_ptr<TransformOp> make(const PartSpec& spec) {
  return std::make_unique<Op>(spec);
}

// The families, each in its own file.
std::vector<TransformEntry> basic_entries();    // transform_ops.cpp
std::vector<TransformEntry> scale_entries();    // augment_scale.cpp
std::vector<TransformEntry> affine_entries();   // augment_affine.cpp
std::vector<TransformEntry> color_entries();    // augment_color.cpp
std::vector<TransformEntry> quality_entries();  // augment_quality.cpp
std::vector<TransformEntry> erase_entries();    // augment_erase.cpp
std::vector<TransformEntry> policy_entries();   // augment_policy_ops.cpp

inline constexpr double kMaxSizePx = 16384;

// Errors of all: RecipeError "transform NAME: ...".
[[noreturn]] void fail_op(const PartSpec& spec, const std::string& message);
// [height, width]; one number stands for a square.
ImageSize size_of(const PartSpec& spec);
// [low, high] with low <= high; range_of: and above 0.
std::pair<double, double> interval_of(const PartSpec& spec, const std::string& key);
std::pair<double, double> range_of(const PartSpec& spec, const std::string& key);
Interpolation interpolation_of(const PartSpec& spec);
Sampling sampling_of(const PartSpec& spec);
// Three bytes.
std::array<uint8_t, 3> fill_of(const PartSpec& spec);
// A whole number in [0, n): one value of the stream whatever n is.
int pick(Rng* rng, int n);

void add_list(Schema* schema, FieldType type, const std::string& key, nlohmann::json value,
              const std::string& unit, double min, double max, const std::string& help);
// Keys `sampling` (nearest, bilinear, bicubic) and `fill` of ops that warp.
void add_sampling(Schema* schema, const std::string& sampling, const std::array<int, 3>& fill);
// The key `interpolation` of ops that resample.
void add_interpolation(Schema* schema);
// A schema with the key `p`.
Schema probability_schema(double p);

}  // namespace podium::data_shards
