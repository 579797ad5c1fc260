// Declaring fields.
#include "base/recipe/schema.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/recipe/schema_check.h"

namespace podium {
namespace {

using Json = nlohmann::json;

// Two keys of which one is a section of the other could not both be written as YAML.
bool is_section_of(const std::string& section, const std::string& key) {
  return key.size() > section.size() && key.starts_with(section) && key[section.size()] == '.';
}

Field number_field(std::string key, FieldType type, std::string unit, double min, double max) {
  Field field;
  field.key = std::move(key);
  field.type = type;
  field.unit = std::move(unit);
  field.min = min;
  field.max = max;
  return field;
}

}  // namespace

bool Field::is_same_value(const Field& other) const {
  return type == other.type && default_value == other.default_value && unit == other.unit &&
         min == other.min && max == other.max && choices == other.choices;
}

Schema& Schema::add(Field field) {
  for (const Field& other : fields_) {
    if (other.key == field.key || is_section_of(other.key, field.key) ||
        is_section_of(field.key, other.key)) {
      throw InternalError(fmt::format("schema: key {} clashes with key {}", field.key, other.key));
    }
  }
  if (!field.default_value.is_null()) {
    const Refuse refuse = [&](int, const std::string& message) {
      throw InternalError(fmt::format("schema: default of {}: {}", field.key, message));
    };
    field.default_value = check_value(field, yaml_tree_of(field.default_value), refuse);
  }
  fields_.push_back(std::move(field));
  return *this;
}

Schema& Schema::add_int(std::string key, std::optional<int64_t> value, std::string unit, double min,
                        double max, std::string help) {
  Field field = number_field(std::move(key), FieldType::kInt, std::move(unit), min, max);
  if (value) field.default_value = *value;
  field.help = std::move(help);
  return add(std::move(field));
}

Schema& Schema::add_float(std::string key, std::optional<double> value, std::string unit,
                          double min, double max, std::string help) {
  Field field = number_field(std::move(key), FieldType::kFloat, std::move(unit), min, max);
  if (value) field.default_value = *value;
  field.help = std::move(help);
  return add(std::move(field));
}

Schema& Schema::add_bool(std::string key, std::optional<bool> value, std::string help) {
  Field field;
  field.key = std::move(key);
  field.type = FieldType::kBool;
  if (value) field.default_value = *value;
  field.help = std::move(help);
  return add(std::move(field));
}

Schema& Schema::add_string(std::string key, std::optional<std::string> value, std::string help,
                           std::vector<std::string> choices) {
  Field field;
  field.key = std::move(key);
  field.type = FieldType::kString;
  if (value) field.default_value = *value;
  field.help = std::move(help);
  field.choices = std::move(choices);
  return add(std::move(field));
}

Schema& Schema::add_list(std::string key, FieldType type, Json value, std::string unit, double min,
                         double max, std::string help) {
  Field field = number_field(std::move(key), type, std::move(unit), min, max);
  field.default_value = std::move(value);
  field.help = std::move(help);
  return add(std::move(field));
}

Schema& Schema::add_strings(std::string key, Json value, std::string help,
                            std::vector<std::string> choices) {
  Field field;
  field.key = std::move(key);
  field.type = FieldType::kStringList;
  field.default_value = std::move(value);
  field.help = std::move(help);
  field.choices = std::move(choices);
  return add(std::move(field));
}

Schema& Schema::add_op_list(std::string key, Json value, std::string help,
                            std::vector<PartInfo> ops) {
  Field field;
  field.key = std::move(key);
  field.type = FieldType::kOpList;
  field.default_value = std::move(value);
  field.help = std::move(help);
  field.ops = std::move(ops);
  return add(std::move(field));
}

Schema& Schema::since(std::string version) {
  if (fields_.empty()) throw InternalError("schema: since() of no key");
  fields_.back().since = std::move(version);
  return *this;
}

Schema& Schema::alias(std::string earlier_key) {
  if (fields_.empty() || find(earlier_key) != nullptr || find_alias(earlier_key) != nullptr) {
    throw InternalError(fmt::format("schema: alias {} of no key, or a key itself", earlier_key));
  }
  fields_.back().aliases.push_back(std::move(earlier_key));
  return *this;
}

const Field* Schema::find(const std::string& key) const {
  const auto found = std::find_if(fields_.begin(), fields_.end(),
                                  [&](const Field& field) { return field.key == key; });
  return found == fields_.end() ? nullptr : &*found;
}

const Field* Schema::find_alias(const std::string& key) const {
  for (const Field& field : fields_) {
    const auto& aliases = field.aliases;
    if (std::find(aliases.begin(), aliases.end(), key) != aliases.end()) return &field;
  }
  return nullptr;
}

std::vector<std::string> Schema::keys() const {
  std::vector<std::string> keys;
  for (const Field& field : fields_) keys.push_back(field.key);
  return keys;
}

}  // namespace podium
