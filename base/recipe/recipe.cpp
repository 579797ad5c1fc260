// Loading: YAML -> tree with lines -> flat keys -> checked values. Files named by `extends` come
// first, overrides last.
#include "base/recipe/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/recipe/schema_check.h"
#include "base/text.h"
#include "base/recipe/yaml_tree.h"

namespace podium {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kExtends = "extends";

// A document that gives values: a file with lines, or one override.
struct Source {
  std::string name;
  bool has_lines = true;
  std::string place(int line) const { return has_lines ? fmt::format("{}:{}", name, line) : name; }
};

class Collector {
 public:
  Collector(const Schema& schema, std::map<std::string, Json>& values,
            std::map<std::string, std::string>& places)
      : schema_(schema), values_(values), places_(places) {}

  void add_file(const fs::path& file) {
    const std::string name = file.string();
    std::error_code ignored;
    const fs::path canonical = fs::weakly_canonical(file, ignored);
    if (std::find(open_files_.begin(), open_files_.end(), canonical) != open_files_.end()) {
      throw RecipeError(fmt::format("{}: extends itself; remove one `extends`", name));
    }
    open_files_.push_back(canonical);
    add_document(read_file(file), name, file.parent_path());
    open_files_.pop_back();
  }

  void add_document(const std::string& yaml, const std::string& name, const fs::path& directory) {
    const Source source{name};
    const YamlTree root = parse_yaml(yaml, name);
    const bool is_empty = root.kind == YamlTree::Kind::kScalar && root.scalar.is_null();
    if (root.kind != YamlTree::Kind::kMap && !is_empty) {
      throw RecipeError(fmt::format("{}: expected keys with values, found {}",
                                    source.place(root.line), root.found()));
    }
    for (const auto& [key, value] : root.members) {
      if (key == kExtends) add_base(value, source, directory);
    }
    std::set<std::string> seen;
    for (const auto& [key, value] : root.members) {
      if (key != kExtends) add_member(key, value, source, seen);
    }
  }

  void add_override(const std::string& text) {
    const Source source{"--set " + text, false};
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw RecipeError(fmt::format("{}: expected KEY=VALUE", source.name));
    }
    const std::string key = trim(std::string_view(text).substr(0, equals));
    const std::string value = trim(std::string_view(text).substr(equals + 1));
    std::set<std::string> seen;
    add_member(key, override_value(key, value, source), source, seen);
  }

 private:
  // A string needs no quotes here: the shell has taken them, and `--set model.name=123` can mean
  // only one thing.
  YamlTree override_value(const std::string& key, const std::string& value, const Source& source) {
    const Field* field = schema_.find(key);
    const bool is_quoted = value.size() > 1 && (value[0] == '"' || value[0] == '\'');
    if (field != nullptr && field->type == FieldType::kString && !is_quoted) {
      return yaml_tree_of(value);
    }
    try {
      return parse_yaml(value, "value");
    } catch (RecipeError& error) {
      error.add_context(source.name);
      throw;
    }
  }

  void add_base(const YamlTree& value, const Source& source, const fs::path& directory) {
    if (!value.scalar.is_string()) {
      throw RecipeError(fmt::format("{}: extends: expected a file name, found {}",
                                    source.place(value.line), value.found()));
    }
    with_context(source.place(value.line),
                 [&] { add_file(directory / value.scalar.get<std::string>()); });
  }

  void add_member(const std::string& key, const YamlTree& value, const Source& source,
                  std::set<std::string>& seen) {
    const Refuse refuse = [&](int line, const std::string& message) {
      throw RecipeError(fmt::format("{}: {}: {}", source.place(line), key, message));
    };
    if (const Field* field = schema_.find(key)) {
      // `a: {b: 1}` and `a.b: 1` are the same key.
      if (!seen.insert(key).second) refuse(value.line, "given twice; remove one");
      values_[key] = check_value(*field, value, refuse);
      places_[key] = source.place(value.line);
      return;
    }
    const std::vector<std::string> section = keys_of_section(key);
    if (section.empty()) {
      refuse(value.line, "unknown key" + did_you_mean(key, schema_.keys()));
    }
    const bool is_empty = value.kind == YamlTree::Kind::kScalar && value.scalar.is_null();
    if (value.kind != YamlTree::Kind::kMap && !is_empty) {
      refuse(value.line, fmt::format("expected a section with the keys {}, found {}",
                                     join(section, ", "), value.found()));
    }
    for (const auto& [name, member] : value.members) {
      add_member(key + "." + name, member, source, seen);
    }
  }

  std::vector<std::string> keys_of_section(const std::string& section) const {
    std::vector<std::string> keys;
    for (const Field& field : schema_.fields()) {
      if (field.key.starts_with(section + ".")) keys.push_back(field.key);
    }
    return keys;
  }

  const Schema& schema_;
  std::map<std::string, Json>& values_;
  std::map<std::string, std::string>& places_;
  std::vector<fs::path> open_files_;
};

void add_defaults(const Schema& schema, const std::string& name,
                  std::map<std::string, Json>& values, std::map<std::string, std::string>& places,
                  std::vector<std::string>& order) {
  for (const Field& field : schema.fields()) {
    order.push_back(field.key);
    if (values.contains(field.key)) continue;
    if (field.default_value.is_null()) {
      throw RecipeError(fmt::format("{}: {}: must be given ({}: {})", name, field.key,
                                    type_text(field.type), field.help));
    }
    values[field.key] = field.default_value;
    places[field.key] = "default";
  }
}

// Words that other YAML readers take for booleans.
bool is_plain_word(const std::string& text) {
  static const std::set<std::string> kOldBooleans = {"y", "n", "yes", "no", "on", "off"};
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  if (text.empty() || !is_letter(text[0])) return false;
  for (const char c : text) {
    const bool is_digit = c >= '0' && c <= '9';
    if (!is_letter(c) && !is_digit && c != '.' && c != '-' && c != '/') return false;
  }
  return !is_typed_scalar(text) && !kOldBooleans.contains(lower(text));
}

// JSON text that keeps bytes which are not UTF-8 from being an error.
std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string yaml_text(const Json& value) {
  if (value.is_number_float()) {
    std::string text = shortest(value.get<double>());
    // "1" would be read as an int, and YAML 1.1 readers take "3e-04" for a string.
    if (text.find('.') == std::string::npos)
      text.insert(std::min(text.find('e'), text.size()), ".0");
    return text;
  }
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    // A JSON string is a double-quoted YAML string.
    return is_plain_word(text) ? text : dump(value);
  }
  std::vector<std::string> parts;
  if (value.is_array()) {
    for (const Json& item : value) parts.push_back(yaml_text(item));
    return "[" + join(parts, ", ") + "]";
  }
  if (value.is_object()) {
    for (const auto& [key, item] : value.items()) parts.push_back(key + ": " + yaml_text(item));
    return "{" + join(parts, ", ") + "}";
  }
  return value.dump();
}

bool is_op_list(const Json& value) {
  return value.is_array() && !value.empty() && value[0].is_object();
}

std::string member_yaml(const std::string& name, const Json& value, size_t indent) {
  const std::string margin(indent, ' ');
  if (!is_op_list(value)) return margin + name + ": " + yaml_text(value) + "\n";
  std::string text = margin + name + ":\n";
  for (const Json& op : value) {
    const std::string& op_name = op.begin().key();
    const Json& parameters = op.begin().value();
    text += margin + "  - " + op_name;
    text += parameters.empty() ? "\n" : ": " + yaml_text(parameters) + "\n";
  }
  return text;
}

// The keys below `prefix` ("" or "a.b."), sections at the place of their first key.
std::string section_yaml(const std::string& prefix, const std::vector<std::string>& order,
                         const std::map<std::string, Json>& values, size_t indent) {
  std::string text;
  std::set<std::string> written;
  for (const std::string& key : order) {
    if (!key.starts_with(prefix)) continue;
    const std::string rest = key.substr(prefix.size());
    const size_t dot = rest.find('.');
    if (dot == std::string::npos) {
      text += member_yaml(rest, values.at(key), indent);
    } else if (const std::string section = rest.substr(0, dot); written.insert(section).second) {
      text += std::string(indent, ' ') + section + ":\n";
      text += section_yaml(prefix + section + ".", order, values, indent + 2);
    }
  }
  return text;
}

template <typename Value>
Value value_as(const Json* value, bool is_right_type, const std::string& key) {
  if (value == nullptr || !is_right_type) {
    throw InternalError(fmt::format("recipe: {} asked for with a wrong key or type", key));
  }
  return value->get<Value>();
}

const Json* find(const std::map<std::string, Json>& values, const std::string& key) {
  const auto found = values.find(key);
  return found == values.end() ? nullptr : &found->second;
}

const Json* find(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

template <typename Predicate>
bool is_list_of(const Json* value, Predicate is_element) {
  return value != nullptr && value->is_array() &&
         std::all_of(value->begin(), value->end(), is_element);
}

bool is_int(const Json& value) { return value.is_number_integer(); }
bool is_float(const Json& value) { return value.is_number_float(); }
bool is_string(const Json& value) { return value.is_string(); }

}  // namespace

// A recipe and an operation's parameters are read by the same rules.
#define PODIUM_DEFINE_GETTERS(Class, member)                                         \
  int64_t Class::get_int(const std::string& key) const {                             \
    const Json* value = find(member, key);                                           \
    return value_as<int64_t>(value, value != nullptr && is_int(*value), key);        \
  }                                                                                  \
  double Class::get_float(const std::string& key) const {                            \
    const Json* value = find(member, key);                                           \
    return value_as<double>(value, value != nullptr && is_float(*value), key);       \
  }                                                                                  \
  bool Class::get_bool(const std::string& key) const {                               \
    const Json* value = find(member, key);                                           \
    return value_as<bool>(value, value != nullptr && value->is_boolean(), key);      \
  }                                                                                  \
  std::string Class::get_string(const std::string& key) const {                      \
    const Json* value = find(member, key);                                           \
    return value_as<std::string>(value, value != nullptr && is_string(*value), key); \
  }                                                                                  \
  std::vector<int64_t> Class::get_ints(const std::string& key) const {               \
    const Json* value = find(member, key);                                           \
    return value_as<std::vector<int64_t>>(value, is_list_of(value, is_int), key);    \
  }                                                                                  \
  std::vector<double> Class::get_floats(const std::string& key) const {              \
    const Json* value = find(member, key);                                           \
    return value_as<std::vector<double>>(value, is_list_of(value, is_float), key);   \
  }
PODIUM_DEFINE_GETTERS(OpSpec, parameters)
PODIUM_DEFINE_GETTERS(Recipe, values_)
#undef PODIUM_DEFINE_GETTERS

std::vector<std::string> Recipe::get_strings(const std::string& key) const {
  const Json* value = find(values_, key);
  return value_as<std::vector<std::string>>(value, is_list_of(value, is_string), key);
}

std::vector<OpSpec> Recipe::get_ops(const std::string& key) const {
  const Json* value = find(values_, key);
  const auto is_op = [](const Json& item) { return item.is_object() && item.size() == 1; };
  std::vector<OpSpec> ops;
  for (const Json& item : value_as<Json>(value, is_list_of(value, is_op), key)) {
    ops.push_back({item.begin().key(), item.begin().value()});
  }
  return ops;
}

Recipe Recipe::load(const fs::path& file, const Schema& schema,
                    const std::vector<std::string>& overrides) {
  Recipe recipe;
  Collector collector(schema, recipe.values_, recipe.places_);
  collector.add_file(file);
  for (const std::string& text : overrides) collector.add_override(text);
  add_defaults(schema, file.string(), recipe.values_, recipe.places_, recipe.order_);
  return recipe;
}

Recipe Recipe::from_text(const std::string& yaml, const std::string& name, const Schema& schema,
                         const std::vector<std::string>& overrides) {
  Recipe recipe;
  Collector collector(schema, recipe.values_, recipe.places_);
  collector.add_document(yaml, name, "");
  for (const std::string& text : overrides) collector.add_override(text);
  add_defaults(schema, name, recipe.values_, recipe.places_, recipe.order_);
  return recipe;
}

std::string Recipe::place(const std::string& key) const {
  const auto found = places_.find(key);
  if (found == places_.end()) throw InternalError("recipe: no key " + key);
  return found->second;
}

void Recipe::fail(const std::string& key, const std::string& message) const {
  throw RecipeError(fmt::format("{}: {}: {}", place(key), key, message));
}

std::string Recipe::to_yaml() const { return section_yaml("", order_, values_, 0); }

std::string Recipe::digest() const { return xxh3_128_hex(dump(Json(values_))); }

}  // namespace podium
