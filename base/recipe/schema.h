// The declared schema of a recipe: each key with type, default, unit, range and help in one place.
// Read next: base/recipe/recipe.h.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace podium {

enum class FieldType { kInt, kFloat, kBool, kString, kIntList, kFloatList, kStringList, kOpList };

struct OpSchema;

// One key of a recipe.
struct Field {
  std::string key;  // dotted: "optimizer.lr"
  FieldType type = FieldType::kString;
  nlohmann::json default_value = nullptr;  // of the field's type; null: the key must be given
  std::string unit{};                      // "px", "epochs", ""
  std::optional<double> min{};  // inclusive, for numbers and each element of number lists
  std::optional<double> max{};
  std::vector<std::string> choices{};  // for strings and each element of string lists; empty: any
  std::string help{};                  // one sentence
  std::vector<OpSchema> ops{};         // for kOpList: the operations that may be named
};

// An ordered set of fields. Keys are unique.
class Schema {
 public:
  Schema& add(Field field);
  Schema& add_int(std::string key, std::optional<int64_t> value, std::string unit, double min,
                  double max, std::string help);
  Schema& add_float(std::string key, std::optional<double> value, std::string unit, double min,
                    double max, std::string help);
  Schema& add_bool(std::string key, std::optional<bool> value, std::string help);
  Schema& add_string(std::string key, std::optional<std::string> value, std::string help,
                     std::vector<std::string> choices = {});
  Schema& add_op_list(std::string key, nlohmann::json value, std::string help,
                      std::vector<OpSchema> ops);

  const std::vector<Field>& fields() const { return fields_; }
  const Field* find(const std::string& key) const;
  std::vector<std::string> keys() const;
  // What `podium train --help_recipe` prints: grouped by section, with type, unit, range, default,
  // choices.
  std::string help_text() const;

 private:
  std::vector<Field> fields_;
};

// An operation of a kOpList ("random_resized_crop") with the schema of its parameters (undotted
// keys).
struct OpSchema {
  std::string name;
  std::string help;
  Schema parameters;
};

}  // namespace podium
