// A YAML document as a tree in which each node knows its line, for files without a schema of keys
// (a sweep's plan). Recipes are read by base/recipe/recipe.h.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace podium {

struct YamlTree {
  enum class Kind { kScalar, kList, kMap };
  Kind kind = Kind::kScalar;
  int line = 0;           // 1-based
  nlohmann::json scalar;  // null, bool, int, float or string by the core types of YAML 1.2
  std::string text;       // the scalar as it was written
  std::vector<YamlTree> items;
  std::vector<std::pair<std::string, YamlTree>>
      members;  // in the order of the file; keys are unique

  // For messages: `"abc"`, `3.5`, `a list`.
  std::string found() const;
  nlohmann::json to_json() const;
};

// Errors: RecipeError "NAME:LINE: ..." on bad syntax, a key given twice, several documents.
YamlTree parse_yaml(const std::string& yaml, const std::string& name);
// The tree of a value that does not come from a file.
YamlTree yaml_tree_of(const nlohmann::json& value);

// Whether the plain scalar would be read as something else than a string.
bool is_typed_scalar(const std::string& text);

}  // namespace podium
