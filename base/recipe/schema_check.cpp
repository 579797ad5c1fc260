// One small check per field type. Lists check each element as the type of their elements.
#include "base/recipe/schema_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"
#include "base/text.h"

namespace podium {
namespace {

using Json = nlohmann::json;
using Kind = YamlTree::Kind;

std::string bound_text(const std::optional<double>& bound, const char* open) {
  return bound && std::isfinite(*bound) ? shortest(*bound) : open;
}

// What the field wants, for "expected ...".
std::string expectation(const Field& field, FieldType type) {
  std::string text = type_text(type);
  const bool is_number = type == FieldType::kInt || type == FieldType::kFloat;
  if (is_number && !range_text(field).empty()) text += " " + range_text(field);
  if (type == FieldType::kString && !field.choices.empty()) {
    text = "one of " + join(field.choices, ", ");
  }
  return text;
}

[[noreturn]] void refuse_value(const Field& field, FieldType type, const YamlTree& value,
                               const Refuse& refuse) {
  std::string hint;
  if (type == FieldType::kString) {
    const bool is_string = value.kind == Kind::kScalar && value.scalar.is_string();
    if (is_string) hint = did_you_mean(value.scalar.get<std::string>(), field.choices);
    if (value.kind == Kind::kScalar && !is_string && field.choices.empty()) hint = "; quote it";
  }
  refuse(value.line,
         fmt::format("expected {}, found {}{}", expectation(field, type), value.found(), hint));
  throw InternalError("a refused value must end in an error");
}

Json check_scalar(const Field& field, FieldType type, const YamlTree& value, const Refuse& refuse) {
  const Json& scalar = value.scalar;
  const auto is_in_range = [&](double number) {
    return std::isfinite(number) && (!field.min || number >= *field.min) &&
           (!field.max || number <= *field.max);
  };
  bool is_ok = value.kind == Kind::kScalar;
  if (type == FieldType::kInt) {
    is_ok = is_ok && scalar.is_number_integer() && is_in_range(scalar.get<double>());
  } else if (type == FieldType::kFloat) {
    is_ok = is_ok && scalar.is_number() && is_in_range(scalar.get<double>());
    // Kept as a float even when written as an int, so that the digest does not depend on the
    // spelling.
    if (is_ok) return scalar.get<double>();
  } else if (type == FieldType::kBool) {
    is_ok = is_ok && scalar.is_boolean();
  } else {
    is_ok = is_ok && scalar.is_string();
    const auto& choices = field.choices;
    const bool is_free = choices.empty();
    is_ok =
        is_ok && (is_free || std::find(choices.begin(), choices.end(), scalar) != choices.end());
  }
  if (!is_ok) refuse_value(field, type, value, refuse);
  return scalar;
}

Json check_list(const Field& field, FieldType element, const YamlTree& value,
                const Refuse& refuse) {
  if (value.kind != Kind::kList) refuse_value(field, field.type, value, refuse);
  Json list = Json::array();
  for (size_t i = 0; i < value.items.size(); ++i) {
    const Refuse refuse_item = [&](int line, const std::string& message) {
      refuse(line, fmt::format("element {}: {}", i + 1, message));
    };
    list.push_back(check_scalar(field, element, value.items[i], refuse_item));
  }
  return list;
}

Json check_parameters(const PartInfo& op, const YamlTree& given, int line, const Refuse& refuse) {
  const Refuse refuse_in_op = [&](int at, const std::string& message) {
    refuse(at, fmt::format("{}: {}", op.name, message));
  };
  Json parameters = Json::object();
  const bool is_empty = given.kind == Kind::kScalar && given.scalar.is_null();
  if (given.kind != Kind::kMap && !is_empty) {
    refuse_in_op(given.line, "expected parameters {key: value}, found " + given.found());
  }
  for (const auto& [key, value] : given.members) {
    parameters[key] = check_parameter(op, key, value, refuse);
  }
  for (const Field& field : op.parameters.fields()) {
    if (parameters.contains(field.key)) continue;
    if (field.default_value.is_null()) {
      refuse_in_op(line, fmt::format("{} must be given ({}: {})", field.key,
                                     expectation(field, field.type), field.help));
    }
    parameters[field.key] = field.default_value;
  }
  return parameters;
}

// `- hflip` or `- hflip: {p: 0.5}`.
Json check_op(const Field& field, const YamlTree& item, const Refuse& refuse) {
  const bool is_word = item.kind == Kind::kScalar && item.scalar.is_string();
  const bool is_call = item.kind == Kind::kMap && item.members.size() == 1;
  if (!is_word && !is_call) {
    refuse(item.line, "expected an operation `name` or `name: {key: value}`, found " +
                          (item.kind == Kind::kMap ? "several keys" : item.found()));
  }
  static const YamlTree kNoParameters;
  const std::string name = is_word ? item.scalar.get<std::string>() : item.members[0].first;
  const YamlTree& given = is_word ? kNoParameters : item.members[0].second;
  std::vector<std::string> names;
  for (const PartInfo& op : field.ops) {
    if (op.name == name) {
      return Json{{name, check_parameters(op, given, item.line, refuse)}};
    }
    names.push_back(op.name);
  }
  refuse(item.line, fmt::format("unknown operation {}{}; operations are {}", name,
                                did_you_mean(name, names), join(names, ", ")));
  throw InternalError("a refused value must end in an error");
}

}  // namespace

Json check_value(const Field& field, const YamlTree& value, const Refuse& refuse) {
  switch (field.type) {
    case FieldType::kIntList:
      return check_list(field, FieldType::kInt, value, refuse);
    case FieldType::kFloatList:
      return check_list(field, FieldType::kFloat, value, refuse);
    case FieldType::kStringList:
      return check_list(field, FieldType::kString, value, refuse);
    case FieldType::kOpList: {
      if (value.kind != Kind::kList) refuse_value(field, field.type, value, refuse);
      Json list = Json::array();
      for (const YamlTree& item : value.items) list.push_back(check_op(field, item, refuse));
      return list;
    }
    default:
      return check_scalar(field, field.type, value, refuse);
  }
}

Json check_parameter(const PartInfo& op, const std::string& name, const YamlTree& value,
                     const Refuse& refuse) {
  const Field* field = op.parameters.find(name);
  if (field == nullptr) {
    refuse(value.line,
           fmt::format("{}: unknown parameter {}{}; parameters are {}", op.name, name,
                       did_you_mean(name, op.parameters.keys()), join(op.parameters.keys(), ", ")));
    throw InternalError("a refused value must end in an error");
  }
  return check_value(*field, value, [&](int at, const std::string& message) {
    refuse(at, fmt::format("{}: {}: {}", op.name, name, message));
  });
}

std::string type_text(FieldType type) {
  switch (type) {
    case FieldType::kInt:
      return "an int";
    case FieldType::kFloat:
      return "a float";
    case FieldType::kBool:
      return "true or false";
    case FieldType::kString:
      return "a string";
    case FieldType::kIntList:
      return "a list of ints";
    case FieldType::kFloatList:
      return "a list of floats";
    case FieldType::kStringList:
      return "a list of strings";
    case FieldType::kOpList:
      return "a list of operations";
  }
  throw InternalError("unknown FieldType");
}

std::string range_text(const Field& field) {
  const std::string unit = field.unit.empty() ? "" : " " + field.unit;
  const std::string low = bound_text(field.min, ""), high = bound_text(field.max, "");
  // The largest numbers stand for "no limit" where a call needs one.
  const bool has_low = !low.empty() && *field.min > -1e15;
  const bool has_high = !high.empty() && *field.max < 1e15;
  if (has_low && has_high) return fmt::format("in [{}, {}]{}", low, high, unit);
  if (has_low) return fmt::format(">= {}{}", low, unit);
  if (has_high) return fmt::format("<= {}{}", high, unit);
  return "";
}

}  // namespace podium
