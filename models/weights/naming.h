// The published ways to name a model's parameters: recognised by a key, mapped to the model's own
// names and back. Read next: model_row.h, weights.h.
#pragma once

#include <string>

#include "models/interface/model_row.h"
#include "models/interface/vision_model.h"

namespace podium::models {

// The naming of a file for this model, by the key that each naming has; "" for a model of one
// naming. Errors: DataError listing the namings and the key of each when none fits.
std::string detect_naming(const std::string& model, const StateDict& weights);
// The naming of the names with `prefix`; "" when none is recognised.
std::string find_naming_of(const std::string& model, const StateDict& weights,
                           const std::string& prefix = "");
// Between a naming and the model's own names. Names of attached heads pass through.
// Errors: UsageError for a naming that the model has not.
StateDict to_own_names(const std::string& model, const std::string& naming,
                       const StateDict& weights);
StateDict from_own_names(const std::string& model, const std::string& naming,
                         const StateDict& weights);
StateDict gradients_from_own_names(const std::string& model, const std::string& naming,
                                   const StateDict& gradients);

}  // namespace podium::models
