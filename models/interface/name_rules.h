// Renaming of parameters by regular expressions. Read next: ../weights/naming.h.
#pragma once

#include <regex>
#include <string>
#include <vector>

#include "models/layers/state_dict.h"

namespace podium::models {

// Replaces what `pattern` finds in a name by `text` ($1 is a group).
struct NameRule {
  NameRule(const char* from, const char* to) : pattern(from), text(to) {}
  std::regex pattern;
  std::string text;
};
// Every name through every rule in order. Errors: DataError when two names become one.
StateDict rename(const StateDict& weights, const std::vector<NameRule>& rules);

}  // namespace podium::models
