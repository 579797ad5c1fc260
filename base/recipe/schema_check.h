// Checks a value against its field. Internal to base; rooms use base/recipe/recipe.h.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "base/recipe/schema.h"
#include "base/recipe/yaml_tree.h"

namespace podium {

// Reports a refused value: throws an error that names the place. `line` is the value's line in its
// document.
using Refuse = std::function<void(int line, const std::string& message)>;

// The value in the field's own type (an int for a float field becomes a float; an op gets all its
// parameters). Calls `refuse`, which must throw, on a wrong type, range, choice or operation.
nlohmann::json check_value(const Field& field, const YamlTree& value, const Refuse& refuse);

// One parameter of an operation, by its name ("factor"); otherwise as check_value().
nlohmann::json check_parameter(const PartInfo& op, const std::string& name, const YamlTree& value,
                               const Refuse& refuse);

// "an int", "a list of floats": for messages and help.
std::string type_text(FieldType type);
// "in [0, 1] px" or "".
std::string range_text(const Field& field);

}  // namespace podium
