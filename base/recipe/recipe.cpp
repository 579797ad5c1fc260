// Loading: YAML -> tree with lines -> flat keys -> checked values. Files named by `extends` come
// first, overrides last.
#include "base/recipe/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/recipe/getters.h"
#include "base/recipe/schema_check.h"
#include "base/recipe/yaml_tree.h"
#include "base/text.h"

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

// A parameter of an operation that is given by its address.
struct Addressed {
  const Field* list = nullptr;
  std::string key;
  YamlTree value;
  Source source;
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
    set_addressed();
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
    set_addressed();
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
    const Field* field = schema_.find(key);
    if (field == nullptr && (field = schema_.find_alias(key)) != nullptr) {
      log_warning("{}: {} is now called {}; the old name will not be read for long",
                  source.place(value.line), key, field->key);
    }
    if (field != nullptr) {
      // `a: {b: 1}` and `a.b: 1` are the same key.
      if (!seen.insert(field->key).second) refuse(value.line, "given twice; remove one");
      values_[field->key] = check_value(*field, value, refuse);
      places_[field->key] = source.place(value.line);
      return;
    }
    if (const Field* list = find_op_list(key)) {
      if (!seen.insert(key).second) refuse(value.line, "given twice; remove one");
      addressed_.push_back({list, key, value, source});
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

  // The op list of which `key` addresses a parameter.
  const Field* find_op_list(const std::string& key) const {
    for (const Field& field : schema_.fields()) {
      if (field.type == FieldType::kOpList && key.starts_with(field.key + ".")) return &field;
    }
    return nullptr;
  }

  // Last, so that a list and changes of it may stand in one file in any order.
  void set_addressed() {
    for (const Addressed& addressed : std::exchange(addressed_, {})) set_parameter(addressed);
  }

  void set_parameter(const Addressed& addressed) {
    const Field& list = *addressed.list;
    const Refuse refuse = [&](int line, const std::string& message) {
      throw RecipeError(
          fmt::format("{}: {}: {}", addressed.source.place(line), addressed.key, message));
    };
    const int line = addressed.value.line;
    const std::string rest = addressed.key.substr(list.key.size() + 1);
    const size_t dot = rest.find('.');
    if (dot == std::string::npos) {
      refuse(line, fmt::format("expected {}.OPERATION.PARAMETER", list.key));
    }
    const std::string name = rest.substr(0, dot), parameter = rest.substr(dot + 1);
    const auto given = values_.find(list.key);
    Json ops = given == values_.end() ? list.default_value : given->second;
    std::vector<std::string> names;
    Json* found = nullptr;
    for (Json& op : ops) {
      names.push_back(op.begin().key());
      if (names.back() == name) found = &op.begin().value();
    }
    const auto num_found = std::count(names.begin(), names.end(), name);
    if (num_found != 1) {
      refuse(line, fmt::format("{} operations in the list are called {}{}; the list is [{}]",
                               num_found == 0 ? "no" : std::to_string(num_found), name,
                               num_found == 0 ? did_you_mean(name, names)
                                              : ", and an address takes one: give the whole list",
                               join(names, ", ")));
    }
    const auto part = std::find_if(list.ops.begin(), list.ops.end(),
                                   [&](const PartInfo& op) { return op.name == name; });
    (*found)[parameter] = check_parameter(*part, parameter, addressed.value, refuse);
    values_[list.key] = std::move(ops);
    places_[list.key] = addressed.source.place(line);
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
  std::vector<Addressed> addressed_;  // of the document that is being read
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

bool is_left_out(const Field& field, const Json& value) {
  return field.since != kFirstVersion && value == field.default_value;
}

// Recipe::digest().
std::string identity_of(const Schema& schema, std::map<std::string, Json> values) {
  for (const Field& field : schema.fields()) {
    Json& value = values.at(field.key);
    if (is_left_out(field, value)) {
      values.erase(field.key);
      continue;
    }
    if (field.type != FieldType::kOpList) continue;
    for (Json& op : value) {
      const auto part = std::find_if(field.ops.begin(), field.ops.end(), [&](const PartInfo& info) {
        return info.name == op.begin().key();
      });
      for (const Field& parameter : part->parameters.fields()) {
        Json& parameters = op.begin().value();
        if (is_left_out(parameter, parameters.at(parameter.key))) parameters.erase(parameter.key);
      }
    }
  }
  return xxh3_128_hex(dump(Json(values)));
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

}  // namespace

PODIUM_DEFINE_GETTERS(Recipe, values_)

std::vector<std::string> Recipe::get_strings(const std::string& key) const {
  const Json* value = getters::find(values_, key);
  return getters::value_as<std::vector<std::string>>(
      value, getters::is_list_of(value, getters::is_string), key);
}

std::vector<PartSpec> Recipe::get_ops(const std::string& key) const {
  const Json* value = getters::find(values_, key);
  const auto is_op = [](const Json& item) { return item.is_object() && item.size() == 1; };
  std::vector<PartSpec> ops;
  for (const Json& item : getters::value_as<Json>(value, getters::is_list_of(value, is_op), key)) {
    ops.push_back({item.begin().key(), item.begin().value()});
  }
  return ops;
}

PartSpec Recipe::get_part(const std::string& prefix, const PartInfo& part) const {
  PartSpec spec{part.name, Json::object()};
  for (const Field& field : part.parameters.fields()) {
    const Json* value = getters::find(values_, prefix + field.key);
    if (value == nullptr) throw InternalError("recipe: no key " + prefix + field.key);
    spec.parameters[field.key] = *value;
  }
  return spec;
}

Recipe Recipe::load(const fs::path& file, const Schema& schema,
                    const std::vector<std::string>& overrides) {
  Recipe recipe;
  Collector collector(schema, recipe.values_, recipe.places_);
  collector.add_file(file);
  for (const std::string& text : overrides) collector.add_override(text);
  add_defaults(schema, file.string(), recipe.values_, recipe.places_, recipe.order_);
  recipe.digest_ = identity_of(schema, recipe.values_);
  return recipe;
}

Recipe Recipe::from_text(const std::string& yaml, const std::string& name, const Schema& schema,
                         const std::vector<std::string>& overrides) {
  Recipe recipe;
  Collector collector(schema, recipe.values_, recipe.places_);
  collector.add_document(yaml, name, "");
  for (const std::string& text : overrides) collector.add_override(text);
  add_defaults(schema, name, recipe.values_, recipe.places_, recipe.order_);
  recipe.digest_ = identity_of(schema, recipe.values_);
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

}  // namespace podium
