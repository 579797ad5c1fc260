// All combinations of what varies: the strategy of a plan's axes.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace podium::sweeps {

// One thing that varies, with its options in the order of the file: "preprocessing": {"raw", {}},
// {"grayscale", {"a.b=c"}} ...
struct Axis {
  std::string name;
  std::vector<std::pair<std::string, std::vector<std::string>>>
      options;  // option name -> overrides
};

// A setting without its fold: the base recipe with overrides.
struct TrialGroup {
  std::string name;
  std::vector<std::string> overrides;
};

// The product of the axes in their order, the last one fastest, less the combinations that match
// all pairs (axis, option) of an entry of `excluded`. A group is named by its options, "raw-long".
std::vector<TrialGroup> product_of(const std::vector<Axis>& axes,
                                   const std::vector<std::map<std::string, std::string>>& excluded);

}  // namespace podium::sweeps
