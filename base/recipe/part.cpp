// Parts in a schema, and their values.
#include "base/recipe/part.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/recipe/getters.h"
#include "base/text.h"

namespace podium {

using Json = nlohmann::json;

PODIUM_DEFINE_GETTERS(PartSpec, parameters)

PartSpec part_with_defaults(const PartInfo& part, const Json& given) {
  PartSpec spec{part.name, Json::object()};
  for (const Field& field : part.parameters.fields()) {
    spec.parameters[field.key] = field.default_value;
  }
  if (!given.is_null()) {
    for (const auto& [key, value] : given.items()) {
      if (!spec.parameters.contains(key)) {
        throw InternalError(fmt::format("part {} has no key {}", part.name, key));
      }
      spec.parameters[key] = value;
    }
  }
  for (const auto& [key, value] : spec.parameters.items()) {
    if (value.is_null()) throw InternalError(fmt::format("part {}: {} is missing", part.name, key));
  }
  return spec;
}

void add_part_keys(Schema* schema, const std::string& key, const std::string& default_name,
                   const std::string& help, const std::string& prefix,
                   const std::vector<PartInfo>& parts) {
  Field name;
  name.key = key;
  name.default_value = default_name;
  name.help = help;
  name.choices_from = parts;
  for (const PartInfo& part : parts) name.choices.push_back(part.name);
  schema->add(std::move(name));

  std::vector<Field> fields;
  for (const PartInfo& part : parts) {
    for (Field field : part.parameters.fields()) {
      field.key = prefix + field.key;
      field.parts = {part.name};
      if (part.since != kFirstVersion) field.since = part.since;
      const auto twin = std::find_if(fields.begin(), fields.end(),
                                     [&](const Field& other) { return other.key == field.key; });
      if (twin == fields.end()) {
        fields.push_back(std::move(field));
        continue;
      }
      if (!twin->is_same_value(field)) {
        throw InternalError(fmt::format("key {} of {} differs from that of {}", field.key,
                                        part.name, join(twin->parts, ", ")));
      }
      twin->parts.push_back(part.name);
      if (field.since == kFirstVersion) twin->since = kFirstVersion;
    }
  }
  for (Field& field : fields) schema->add(std::move(field));
}

void check_part_names(const std::string& noun, const std::vector<std::string>& names) {
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (name.empty() || !seen.insert(name).second) {
      throw InternalError(fmt::format("table of {}: name \"{}\" is empty or twice", noun, name));
    }
  }
}

void fail_unknown_part(const std::string& noun, const std::string& nouns, const std::string& name,
                       const std::vector<std::string>& names) {
  throw UsageError(fmt::format("unknown {} \"{}\"{}; {} are {}", noun, name,
                               did_you_mean(name, names), nouns, join(names, ", ")));
}

}  // namespace podium
