// Recognising, and the way between namings.
#include "models/weights/naming.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "models/model_table.h"

namespace podium::models {
namespace {

const Naming& find_naming(const std::string& model, const std::string& naming) {
  std::vector<std::string> names;
  for (const Naming& candidate : find_model(model).namings) {
    if (naming.empty() || candidate.name == naming) return candidate;
    names.push_back(candidate.name);
  }
  throw UsageError(fmt::format(
      "model {}: unknown naming \"{}\"{}; {}", model, naming, did_you_mean(naming, names),
      names.empty() ? "it has one naming only" : "namings are " + join(names, ", ")));
}

}  // namespace

std::string find_naming_of(const std::string& model, const StateDict& weights,
                           const std::string& prefix) {
  const std::vector<Naming>& namings = find_model(model).namings;
  for (auto naming = namings.rbegin(); naming != namings.rend(); ++naming) {
    for (const std::string& key : naming->keys) {
      if (weights.contains(prefix + key)) return naming->name;
    }
  }
  return "";
}

std::string detect_naming(const std::string& model, const StateDict& weights) {
  const std::vector<Naming>& namings = find_model(model).namings;
  const std::string found = find_naming_of(model, weights);
  if (namings.empty() || !found.empty()) return found;
  std::vector<std::string> keys;
  for (const Naming& naming : namings) {
    keys.push_back(fmt::format("{} ({})", naming.name, join(naming.keys, " or ")));
  }
  throw DataError(fmt::format(
      "weights: no naming of model {} has these {} names; looked for {}; check the model's name, "
      "or give the prefix of the names",
      model, weights.size(), join(keys, ", ")));
}

StateDict to_own_names(const std::string& model, const std::string& naming,
                       const StateDict& weights) {
  const Naming& found = find_naming(model, naming);
  return found.to_own == nullptr ? weights : found.to_own(weights);
}

StateDict from_own_names(const std::string& model, const std::string& naming,
                         const StateDict& weights) {
  const Naming& found = find_naming(model, naming);
  return found.from_own == nullptr ? weights : found.from_own(weights);
}

StateDict gradients_from_own_names(const std::string& model, const std::string& naming,
                                   const StateDict& gradients) {
  if (find_model(model).namings.empty()) return gradients;
  const Naming& found = find_naming(model, naming);
  if (found.gradients_from_own != nullptr) return found.gradients_from_own(gradients);
  return found.from_own == nullptr ? gradients : found.from_own(gradients);
}

}  // namespace podium::models
