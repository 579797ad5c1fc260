// The declared schema of a recipe: each key with type, default, unit, range and help in one place.
// Read next: part.h (parts that a key names), recipe.h, schema_text.h (the help).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace podium {

enum class FieldType { kInt, kFloat, kBool, kString, kIntList, kFloatList, kStringList, kOpList };

struct PartInfo;

// The version whose keys all count for the digest of a recipe. A key that came later, `since` in
// its row, counts only where it is not at its default, so that experiments keep their identity.
inline constexpr const char* kFirstVersion = "0.1";

// One key of a recipe.
struct Field {
  std::string key;  // dotted: "optimizer.lr"
  FieldType type = FieldType::kString;
  nlohmann::json default_value = nullptr;  // of the field's type; null: the key must be given
  std::string unit{};                      // "px", "epochs", ""
  std::optional<double> min{};  // inclusive, for numbers and each element of number lists
  std::optional<double> max{};
  std::vector<std::string> choices{};    // for strings and each element of string lists; empty: any
  std::string help{};                    // one sentence
  std::vector<PartInfo> ops{};           // for kOpList: the operations that may be named
  std::vector<PartInfo> choices_from{};  // of a key that names a part: the parts, as `choices`
  std::vector<std::string> parts{};      // whose key it is: {"adam", "adamw"}; empty: of all
  std::string since = kFirstVersion;     // version that brought the key
  std::vector<std::string> aliases{};    // earlier names, which are still read, with a warning

  // Whether both take the same values, whatever their names and help.
  bool is_same_value(const Field& other) const;
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
  // Of ints or floats, each in [min, max].
  Schema& add_list(std::string key, FieldType type, nlohmann::json value, std::string unit,
                   double min, double max, std::string help);
  Schema& add_strings(std::string key, nlohmann::json value, std::string help,
                      std::vector<std::string> choices = {});
  Schema& add_op_list(std::string key, nlohmann::json value, std::string help,
                      std::vector<PartInfo> ops);
  // Of the key that was added last: the version that brought it; an earlier name.
  Schema& since(std::string version);
  Schema& alias(std::string earlier_key);

  const std::vector<Field>& fields() const { return fields_; }
  const Field* find(const std::string& key) const;
  // The field that was once called `key`; null: none.
  const Field* find_alias(const std::string& key) const;
  std::vector<std::string> keys() const;

 private:
  std::vector<Field> fields_;
};

// What a recipe may name: a loss, an operation of a kOpList ("random_resized_crop"). One row of a
// table (table.h).
struct PartInfo {
  std::string name;
  std::string help{};   // one line
  Schema parameters{};  // its own keys, undotted
  std::string since = kFirstVersion;
};

}  // namespace podium
