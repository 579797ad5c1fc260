// One option of each axis after another.
#include "sweeps/strategies/grid.h"

#include <algorithm>
#include <functional>

namespace podium::sweeps {

std::vector<TrialGroup> product_of(
    const std::vector<Axis>& axes,
    const std::vector<std::map<std::string, std::string>>& excluded) {
  std::vector<TrialGroup> groups;
  std::map<std::string, std::string> choice;
  const std::function<void(size_t, TrialGroup)> extend = [&](size_t depth, TrialGroup group) {
    if (depth == axes.size()) {
      const bool is_excluded =
          std::any_of(excluded.begin(), excluded.end(), [&](const auto& entry) {
            return std::all_of(entry.begin(), entry.end(), [&](const auto& pair) {
              return choice.at(pair.first) == pair.second;
            });
          });
      if (!is_excluded) groups.push_back(std::move(group));
      return;
    }
    for (const auto& [option, overrides] : axes[depth].options) {
      TrialGroup next = group;
      next.name += (next.name.empty() ? "" : "-") + option;
      next.overrides.insert(next.overrides.end(), overrides.begin(), overrides.end());
      choice[axes[depth].name] = option;
      extend(depth + 1, std::move(next));
    }
  };
  extend(0, {});
  return groups;
}

}  // namespace podium::sweeps
