// Every name through every rule.
#include "models/interface/name_rules.h"

#include <fmt/format.h>

#include "base/error.h"

namespace podium::models {

StateDict rename(const StateDict& weights, const std::vector<NameRule>& rules) {
  StateDict result;
  for (const auto& [name, tensor] : weights) {
    std::string renamed = name;
    for (const NameRule& rule : rules) {
      renamed = std::regex_replace(renamed, rule.pattern, rule.text);
    }
    if (!result.emplace(renamed, tensor).second) {
      throw DataError(
          fmt::format("weights: {} becomes {}, as another name does; the file mixes "
                      "namings, write it again with one",
                      name, renamed));
    }
  }
  return result;
}

}  // namespace podium::models
