// Halving of a feature map, for the fourth level of a pyramid.
#pragma once

#include <torch/types.h>

#include <string>

namespace podium::models {

// The largest value of each 2 x 2. Shapes: (B, C, h, w) -> (B, C, h / 2, w / 2), rounded down.
// Errors: UsageError with the size of `images` when h or w is 1.
torch::Tensor halve_map(const torch::Tensor& map, const std::string& model,
                        const torch::Tensor& images);

}  // namespace podium::models
