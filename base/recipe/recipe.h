// A recipe: a YAML file checked against a schema, with --set overrides. Docs: docs/recipes.md. Read
// next: base/recipe/schema.h.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/recipe/schema.h"

namespace podium {

// One operation of an op list with all its parameters (given or default), e.g. {hflip, {p: 0.5}}.
// YAML: `- hflip: {p: 0.5}`, or `- hflip` when all parameters have defaults.
struct OpSpec {
  std::string name;
  nlohmann::json parameters;  // object

  int64_t get_int(const std::string& key) const;
  double get_float(const std::string& key) const;
  bool get_bool(const std::string& key) const;
  std::string get_string(const std::string& key) const;
  std::vector<double> get_floats(const std::string& key) const;
  std::vector<int64_t> get_ints(const std::string& key) const;
};

// All keys of a schema with a value each. A top-level key `extends: other.yaml` (relative to the
// file) loads that file first. Errors: RecipeError, one line: "r.yaml:12: optimizer.lrr: unknown
// key (did you mean \"optimizer.lr\"?)"; wrong type, out of range and unknown choice name what was
// expected and found; an override is named `--set KEY=VALUE` instead of a line. A key given twice
// in one file is an error. IoError when the file cannot be read.
class Recipe {
 public:
  static Recipe load(const std::filesystem::path& file, const Schema& schema,
                     const std::vector<std::string>& overrides = {});
  // `name` stands for the file in messages; `extends` is relative to the current directory.
  static Recipe from_text(const std::string& yaml, const std::string& name, const Schema& schema,
                          const std::vector<std::string>& overrides = {});

  // Requires: the key is in the schema with that type (InternalError otherwise).
  int64_t get_int(const std::string& key) const;
  double get_float(const std::string& key) const;
  bool get_bool(const std::string& key) const;
  std::string get_string(const std::string& key) const;
  std::vector<int64_t> get_ints(const std::string& key) const;
  std::vector<double> get_floats(const std::string& key) const;
  std::vector<std::string> get_strings(const std::string& key) const;
  std::vector<OpSpec> get_ops(const std::string& key) const;

  // Where the value comes from: "r.yaml:12", "--set a.b=c" or "default". For messages about a value
  // that a room refuses.
  std::string place(const std::string& key) const;
  // A RecipeError for the caller to throw: "PLACE: KEY: message".
  [[noreturn]] void fail(const std::string& key, const std::string& message) const;

  // The resolved recipe: every key, in schema order; from_text(to_yaml()) gives an equal recipe.
  std::string to_yaml() const;
  // {"optimizer.lr": 3e-4, ...}
  const std::map<std::string, nlohmann::json>& values() const { return values_; }
  // XXH3-128 of the canonical JSON of all values: the identity of an experiment.
  std::string digest() const;

 private:
  std::map<std::string, nlohmann::json> values_;
  std::map<std::string, std::string> places_;
  std::vector<std::string> order_;
};

// A plain YAML document as JSON, with RecipeError (file:line) on syntax errors; scalars follow
// YAML 1.2 core types.
nlohmann::json yaml_to_json(const std::string& yaml, const std::string& name);

}  // namespace podium
