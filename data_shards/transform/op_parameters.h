// Readers of parameters that several transforms share. Read next: transform_table.cpp.
#pragma once

#include <array>
#include <string>
#include <utility>

#include "data_shards/transform/transform_steps.h"

namespace podium::data_shards {

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

}  // namespace podium::data_shards
