// A recipe: a YAML file checked against a schema, with --set overrides. Docs: docs/recipes.md. Read
// next: schema.h, part.h.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/recipe/part.h"

namespace podium {

// All keys of a schema with a value each. A top-level key `extends: other.yaml` (relative to the
// file) loads that file first. Errors: RecipeError, one line: "r.yaml:12: optimizer.lrr: unknown
// key (did you mean \"optimizer.lr\"?)"; wrong type, out of range and unknown choice name what was
// expected and found; an override is named `--set KEY=VALUE` instead of a line. A key given twice
// in one file is an error. IoError when the file cannot be read.
//
// A parameter of an operation has an address, LIST.OPERATION.PARAMETER
// ("data.train_transforms.cutout.factor"), which changes it where it stands in the list so far.
// Errors: RecipeError that lists the operations when none or several are of that name. A key's
// earlier name is read with a warning that names the successor.
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
  std::vector<PartSpec> get_ops(const std::string& key) const;
  // The part that a key names, with the values of its own keys; `prefix` as add_part_keys() took
  // it.
  PartSpec get_part(const std::string& prefix, const PartInfo& part) const;

  // Where the value comes from: "r.yaml:12", "--set a.b=c" or "default". For messages about a value
  // that a room refuses.
  std::string place(const std::string& key) const;
  // A RecipeError for the caller to throw: "PLACE: KEY: message".
  [[noreturn]] void fail(const std::string& key, const std::string& message) const;

  // The resolved recipe: every key, in schema order; from_text(to_yaml()) gives an equal recipe.
  std::string to_yaml() const;
  // {"optimizer.lr": 3e-4, ...}
  const std::map<std::string, nlohmann::json>& values() const { return values_; }
  // XXH3-128 of the canonical JSON of all values, less the keys and parameters at their default
  // that came after version 0.1: the identity of an experiment.
  const std::string& digest() const { return digest_; }

 private:
  std::map<std::string, nlohmann::json> values_;
  std::map<std::string, std::string> places_;
  std::vector<std::string> order_;
  std::string digest_;
};

// A plain YAML document as JSON, with RecipeError (file:line) on syntax errors; scalars follow
// YAML 1.2 core types.
nlohmann::json yaml_to_json(const std::string& yaml, const std::string& name);

}  // namespace podium
