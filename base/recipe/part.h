// A part that a recipe names: what its table says of it, and the values that a recipe gives it.
// Read next: table.h.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/recipe/schema.h"

namespace podium {

// A named part with the values of its own keys (given or default), e.g. {hflip, {p: 0.5}}. In an
// operation list: `- hflip: {p: 0.5}`, or `- hflip` when all parameters have defaults.
// Errors of the getters: InternalError for a key or type that the part has not.
struct PartSpec {
  std::string name;
  nlohmann::json parameters;  // object

  int64_t get_int(const std::string& key) const;
  double get_float(const std::string& key) const;
  bool get_bool(const std::string& key) const;
  std::string get_string(const std::string& key) const;
  std::vector<double> get_floats(const std::string& key) const;
  std::vector<int64_t> get_ints(const std::string& key) const;
};

// The part with the defaults of its keys, but those in `given`. Errors: InternalError for a key
// that the part has not, or one that must be given.
PartSpec part_with_defaults(const PartInfo& part, const nlohmann::json& given = {});

// Adds the key that names a part, `key` ("loss.name"), and the parts' own keys, each behind
// `prefix` ("loss."), to a schema. Parts may share a key when it means the same to each (type,
// default, unit and range are equal); its help names them.
// Errors: InternalError when a shared key differs.
void add_part_keys(Schema* schema, const std::string& key, const std::string& default_name,
                   const std::string& help, const std::string& prefix,
                   const std::vector<PartInfo>& parts);

// For Table. Errors: InternalError when a name comes twice or is empty.
void check_part_names(const std::string& noun, const std::vector<std::string>& names);
// Throws UsageError with the nearest name.
[[noreturn]] void fail_unknown_part(const std::string& noun, const std::string& nouns,
                                    const std::string& name, const std::vector<std::string>& names);

}  // namespace podium
