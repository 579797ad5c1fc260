// Declaring fields, and the help made from them.
#include "base/recipe/schema.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/recipe/schema_check.h"
#include "base/text.h"

namespace podium {
namespace {

using Json = nlohmann::json;

// Columns of the help: key, then what it takes.
constexpr size_t kKeyColumn = 28;
constexpr size_t kTextColumns = 100;

std::string section_of(const std::string& key) {
  const size_t dot = key.rfind('.');
  return dot == std::string::npos ? "" : key.substr(0, dot);
}

std::string value_text(const Json& value) {
  if (value.is_number_float()) return shortest(value.get<double>());
  if (value.is_string())
    return value.get<std::string>().empty() ? "\"\"" : value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::vector<std::string> items;
  for (const Json& item : value) {
    // An operation of an op list: its name is enough, the parameters are described below it.
    items.push_back(item.is_object() && item.size() == 1 ? item.begin().key() : value_text(item));
  }
  return "[" + join(items, ", ") + "]";
}

// "a float in [0, 1] px; default 0.5"
std::string facts_text(const Field& field) {
  std::string text = type_text(field.type);
  if (!field.choices.empty()) text += " of " + join(field.choices, ", ");
  if (!range_text(field).empty()) {
    text += " " + range_text(field);
  } else if (!field.unit.empty()) {
    text += ", " + field.unit;
  }
  const bool is_required = field.default_value.is_null();
  return text + (is_required ? "; must be given" : "; default " + value_text(field.default_value));
}

// Words of `text` from column `indent` on, broken at kTextColumns.
std::string wrapped(const std::string& text, size_t indent) {
  std::string result;
  size_t column = kTextColumns + 1;
  for (const std::string& word : split(text, ' ')) {
    if (column + 1 + word.size() > kTextColumns) {
      result += (result.empty() ? "" : "\n") + std::string(indent, ' ') + word;
      column = indent + word.size();
    } else {
      result += " " + word;
      column += 1 + word.size();
    }
  }
  return result + "\n";
}

std::string field_help(const Field& field, size_t indent) {
  const std::string head = std::string(indent, ' ') + field.key;
  std::string text = wrapped(facts_text(field), kKeyColumn);
  // The facts stand beside the key where it leaves room.
  if (head.size() + 2 <= kKeyColumn) {
    text.replace(0, head.size(), head);
  } else {
    text = head + "\n" + text;
  }
  if (!field.help.empty()) text += wrapped(field.help, kKeyColumn);
  for (const OpSchema& op : field.ops) {
    text += std::string(indent + 4, ' ') + "- " + op.name + "\n";
    if (!op.help.empty()) text += wrapped(op.help, kKeyColumn);
    for (const Field& parameter : op.parameters.fields()) text += field_help(parameter, indent + 8);
  }
  return text;
}

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

Schema& Schema::add_op_list(std::string key, Json value, std::string help,
                            std::vector<OpSchema> ops) {
  Field field;
  field.key = std::move(key);
  field.type = FieldType::kOpList;
  field.default_value = std::move(value);
  field.help = std::move(help);
  field.ops = std::move(ops);
  return add(std::move(field));
}

const Field* Schema::find(const std::string& key) const {
  const auto found = std::find_if(fields_.begin(), fields_.end(),
                                  [&](const Field& field) { return field.key == key; });
  return found == fields_.end() ? nullptr : &*found;
}

std::vector<std::string> Schema::keys() const {
  std::vector<std::string> keys;
  for (const Field& field : fields_) keys.push_back(field.key);
  return keys;
}

std::string Schema::help_text() const {
  std::vector<std::string> sections;
  for (const Field& field : fields_) {
    const std::string section = section_of(field.key);
    if (std::find(sections.begin(), sections.end(), section) == sections.end()) {
      sections.push_back(section);
    }
  }
  std::string text;
  for (const std::string& section : sections) {
    if (!text.empty()) text += '\n';
    if (!section.empty()) text += section + ":\n";
    for (const Field& field : fields_) {
      if (section_of(field.key) == section) text += field_help(field, 2);
    }
  }
  return text;
}

}  // namespace podium
