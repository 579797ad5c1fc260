// Parameters and buffers as values. Needs no libtorch where only the name of the type is used.
#pragma once

#include <map>
#include <string>

namespace at {
class Tensor;
}  // namespace at

namespace podium::models {

// Parameters and buffers by name.
using StateDict = std::map<std::string, at::Tensor>;

}  // namespace podium::models
