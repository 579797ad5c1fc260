// yaml-cpp's nodes are turned into our own tree once: it neither types scalars nor refuses repeated
// keys.
#include "base/recipe/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <cmath>
#include <limits>
#include <regex>
#include <set>

#include "base/error.h"
#include "base/recipe/recipe.h"
#include "base/text.h"

namespace podium {
namespace {

using Json = nlohmann::json;

// An alias may contain itself; no recipe is nested deeper than this.
constexpr int kMaxDepth = 64;

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  for (const auto word : words) {
    if (text == word) return true;
  }
  return false;
}

Json int_scalar(const std::string& text) {
  if (const auto value = parse_int(text)) return *value;
  // More than 64 bits: a float can still stand for it.
  return *parse_double(text);
}

Json based_scalar(const std::string& digits, int base) {
  Json value;
  try {
    value = static_cast<int64_t>(std::stoll(digits, nullptr, base));
  } catch (const std::out_of_range&) {
    value = digits;
  }
  return value;
}

// Core schema of YAML 1.2, section 10.3.2.
Json plain_scalar(const std::string& text) {
  static const std::regex kInt("[-+]?[0-9]+"), kOctal("0o[0-7]+"), kHex("0x[0-9a-fA-F]+");
  static const std::regex kFloat("[-+]?(\\.[0-9]+|[0-9]+(\\.[0-9]*)?)([eE][-+]?[0-9]+)?");
  static const std::regex kInfinity("[-+]?(\\.inf|\\.Inf|\\.INF)");
  if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) return nullptr;
  if (is_one_of(text, {"true", "True", "TRUE"})) return true;
  if (is_one_of(text, {"false", "False", "FALSE"})) return false;
  if (std::regex_match(text, kInt)) return int_scalar(text);
  if (std::regex_match(text, kOctal)) return based_scalar(text.substr(2), 8);
  if (std::regex_match(text, kHex)) return based_scalar(text.substr(2), 16);
  if (std::regex_match(text, kInfinity)) {
    const double infinity = std::numeric_limits<double>::infinity();
    return text[0] == '-' ? -infinity : infinity;
  }
  if (is_one_of(text, {".nan", ".NaN", ".NAN"})) return std::nan("");
  if (std::regex_match(text, kFloat)) {
    // Too large or too small for a double is infinity or zero, as strtod says.
    if (const auto value = parse_double(text)) return *value;
    return std::strtod(text.c_str(), nullptr);
  }
  return text;
}

class TreeBuilder {
 public:
  explicit TreeBuilder(const std::string& name) : name_(name) {}

  YamlTree build(const YAML::Node& node, int depth) const {
    YamlTree tree;
    tree.line = node.Mark().line + 1;
    if (depth > kMaxDepth) fail(tree.line, "nested too deep (an alias inside itself?)");
    if (node.IsSequence()) {
      tree.kind = YamlTree::Kind::kList;
      for (const YAML::Node& item : node) tree.items.push_back(build(item, depth + 1));
    } else if (node.IsMap()) {
      build_members(node, depth, tree);
    } else if (node.IsScalar()) {
      tree.text = node.Scalar();
      // yaml-cpp tags a plain scalar "?" and a quoted one "!".
      const bool is_string = node.Tag() == "!" || node.Tag() == "tag:yaml.org,2002:str";
      tree.scalar = is_string ? Json(tree.text) : plain_scalar(tree.text);
    }
    return tree;
  }

 private:
  [[noreturn]] void fail(int line, const std::string& message) const {
    throw RecipeError(fmt::format("{}:{}: {}", name_, line, message));
  }

  void build_members(const YAML::Node& node, int depth, YamlTree& tree) const {
    tree.kind = YamlTree::Kind::kMap;
    std::set<std::string> seen;
    for (const auto& member : node) {
      const int line = member.first.Mark().line + 1;
      if (!member.first.IsScalar()) fail(line, "a key must be a plain word");
      const std::string& key = member.first.Scalar();
      if (!seen.insert(key).second) fail(line, fmt::format("{}: given twice; remove one", key));
      tree.members.emplace_back(key, build(member.second, depth + 1));
      // The place of a value is the line of its key, even where the value starts below it.
      tree.members.back().second.line = line;
    }
  }

  const std::string& name_;
};

}  // namespace

std::string YamlTree::found() const {
  if (kind == Kind::kList) return "a list";
  if (kind == Kind::kMap) return "a section";
  if (scalar.is_null()) return "nothing";
  if (scalar.is_string()) return fmt::format("\"{}\"", scalar.get<std::string>());
  return text;
}

Json YamlTree::to_json() const {
  if (kind == Kind::kScalar) return scalar;
  Json json = kind == Kind::kList ? Json::array() : Json::object();
  for (const YamlTree& item : items) json.push_back(item.to_json());
  for (const auto& [key, member] : members) json[key] = member.to_json();
  return json;
}

YamlTree parse_yaml(const std::string& yaml, const std::string& name) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(yaml);
    if (documents.size() > 1) {
      throw RecipeError(fmt::format("{}:{}: a second document starts here; keep one", name,
                                    documents[1].Mark().line + 1));
    }
    YamlTree empty;
    empty.line = 1;
    if (documents.empty()) return empty;
    return TreeBuilder(name).build(documents[0], 0);
  } catch (const YAML::Exception& error) {
    throw RecipeError(
        fmt::format("{}:{}: not valid YAML: {}", name, error.mark.line + 1, error.msg));
  }
}

YamlTree yaml_tree_of(const Json& value) {
  YamlTree tree;
  if (value.is_array()) {
    tree.kind = YamlTree::Kind::kList;
    for (const Json& item : value) tree.items.push_back(yaml_tree_of(item));
  } else if (value.is_object()) {
    tree.kind = YamlTree::Kind::kMap;
    for (const auto& [key, member] : value.items()) {
      tree.members.emplace_back(key, yaml_tree_of(member));
    }
  } else {
    tree.scalar = value;
    tree.text = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return tree;
}

bool is_typed_scalar(const std::string& text) { return !plain_scalar(text).is_string(); }

Json yaml_to_json(const std::string& yaml, const std::string& name) {
  return parse_yaml(yaml, name).to_json();
}

}  // namespace podium
