// Parameters and buffers as values.
#pragma once

#include <torch/types.h>

#include <map>
#include <string>

namespace podium::models {

// Parameters and buffers by name.
using StateDict = std::map<std::string, torch::Tensor>;

}  // namespace podium::models
