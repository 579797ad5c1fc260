// Typed reading of JSON values by key. Internal to base/recipe: a recipe and a part are read by the
// same rules.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace podium::getters {

using Json = nlohmann::json;

template <typename Value>
Value value_as(const Json* value, bool is_right_type, const std::string& key) {
  if (value == nullptr || !is_right_type) {
    throw InternalError(fmt::format("recipe: {} asked for with a wrong key or type", key));
  }
  return value->get<Value>();
}

inline const Json* find(const std::map<std::string, Json>& values, const std::string& key) {
  const auto found = values.find(key);
  return found == values.end() ? nullptr : &found->second;
}

inline const Json* find(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

template <typename Predicate>
inline bool is_list_of(const Json* value, Predicate is_element) {
  return value != nullptr && value->is_array() &&
         std::all_of(value->begin(), value->end(), is_element);
}

inline bool is_int(const Json& value) { return value.is_number_integer(); }
inline bool is_float(const Json& value) { return value.is_number_float(); }
inline bool is_string(const Json& value) { return value.is_string(); }

}  // namespace podium::getters

#define PODIUM_DEFINE_GETTERS(Class, member)                                                     \
  int64_t Class::get_int(const std::string& key) const {                                         \
    const Json* value = getters::find(member, key);                                              \
    return getters::value_as<int64_t>(value, value != nullptr && getters::is_int(*value), key);  \
  }                                                                                              \
  double Class::get_float(const std::string& key) const {                                        \
    const Json* value = getters::find(member, key);                                              \
    return getters::value_as<double>(value, value != nullptr && getters::is_float(*value), key); \
  }                                                                                              \
  bool Class::get_bool(const std::string& key) const {                                           \
    const Json* value = getters::find(member, key);                                              \
    return getters::value_as<bool>(value, value != nullptr && value->is_boolean(), key);         \
  }                                                                                              \
  std::string Class::get_string(const std::string& key) const {                                  \
    const Json* value = getters::find(member, key);                                              \
    return getters::value_as<std::string>(value, value != nullptr && getters::is_string(*value), \
                                          key);                                                  \
  }                                                                                              \
  std::vector<int64_t> Class::get_ints(const std::string& key) const {                           \
    const Json* value = getters::find(member, key);                                              \
    return getters::value_as<std::vector<int64_t>>(                                              \
        value, getters::is_list_of(value, getters::is_int), key);                                \
  }                                                                                              \
  std::vector<double> Class::get_floats(const std::string& key) const {                          \
    const Json* value = getters::find(member, key);                                              \
    return getters::value_as<std::vector<double>>(                                               \
        value, getters::is_list_of(value, getters::is_float), key);                              \
  }
