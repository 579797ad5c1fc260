// Help for terminals and pages, from the declared fields.
#include "base/recipe/schema_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/recipe/schema_check.h"
#include "base/text.h"

namespace podium {
namespace {

using Json = nlohmann::json;

// Columns of the help: key, then what it takes.
constexpr size_t kKeyColumn = 28;
constexpr size_t kTextColumns = 100;

std::string section_of(const std::string& key) {
  const size_t dot = key.rfind('.');
  return dot == std::string::npos ? "" : key.substr(0, dot);
}

std::string value_text(const Json& value) {
  if (value.is_number_float()) return shortest(value.get<double>());
  if (value.is_string())
    return value.get<std::string>().empty() ? "\"\"" : value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::vector<std::string> items;
  for (const Json& item : value) {
    // An operation of an op list: its name is enough, the parameters are described below it.
    items.push_back(item.is_object() && item.size() == 1 ? item.begin().key() : value_text(item));
  }
  return "[" + join(items, ", ") + "]";
}

// "a float in [0, 1] px; default 0.5"
std::string facts_text(const Field& field) {
  std::string text = type_text(field.type);
  if (!field.choices.empty()) text += " of " + join(field.choices, ", ");
  if (!range_text(field).empty()) {
    text += " " + range_text(field);
  } else if (!field.unit.empty()) {
    text += ", " + field.unit;
  }
  const bool is_required = field.default_value.is_null();
  text += is_required ? "; must be given" : "; default " + value_text(field.default_value);
  if (field.since != kFirstVersion) text += "; since " + field.since;
  return text;
}

// "adam, adamw: decay of the mean of gradients".
std::string help_of(const Field& field) {
  return field.parts.empty() ? field.help : join(field.parts, ", ") + ": " + field.help;
}

// Words of `text` from column `indent` on, broken at kTextColumns.
std::string wrapped(const std::string& text, size_t indent) {
  std::string result;
  size_t column = kTextColumns + 1;
  for (const std::string& word : split(text, ' ')) {
    if (column + 1 + word.size() > kTextColumns) {
      result += (result.empty() ? "" : "\n") + std::string(indent, ' ') + word;
      column = indent + word.size();
    } else {
      result += " " + word;
      column += 1 + word.size();
    }
  }
  return result + "\n";
}

std::string op_help(const PartInfo& op, size_t indent);

std::string field_help(const Field& field, size_t indent) {
  const std::string head = std::string(indent, ' ') + field.key;
  std::string text = wrapped(facts_text(field), kKeyColumn);
  // The facts stand beside the key where it leaves room.
  if (head.size() + 2 <= kKeyColumn) {
    text.replace(0, head.size(), head);
  } else {
    text = head + "\n" + text;
  }
  if (!field.help.empty()) text += wrapped(help_of(field), kKeyColumn);
  for (const PartInfo& part : field.choices_from) {
    if (!part.help.empty()) text += wrapped("- " + part.name + ": " + part.help, kKeyColumn);
  }
  for (const PartInfo& op : field.ops) text += op_help(op, indent + 4);
  return text;
}

std::string op_help(const PartInfo& op, size_t indent) {
  std::string text = std::string(indent, ' ') + "- " + op.name + "\n";
  if (!op.help.empty()) text += wrapped(op.help, kKeyColumn);
  for (const Field& parameter : op.parameters.fields()) text += field_help(parameter, indent + 4);
  return text;
}

std::vector<std::string> sections_of(const Schema& schema) {
  std::vector<std::string> sections;
  for (const Field& field : schema.fields()) {
    const std::string section = section_of(field.key);
    if (std::find(sections.begin(), sections.end(), section) == sections.end()) {
      sections.push_back(section);
    }
  }
  return sections;
}

bool is_inside(const std::string& section, const std::string& outer) {
  return section == outer || section.starts_with(outer + ".");
}

std::string section_help(const Schema& schema, const std::string& section) {
  std::string text;
  if (!section.empty()) text += section + ":\n";
  for (const Field& field : schema.fields()) {
    if (section_of(field.key) == section) text += field_help(field, 2);
  }
  return text;
}

// The operation of this name, of the first list that has it; null: none.
const PartInfo* find_op(const Schema& schema, const std::string& name) {
  for (const Field& field : schema.fields()) {
    for (const PartInfo& op : field.ops) {
      if (op.name == name) return &op;
    }
  }
  return nullptr;
}

[[noreturn]] void fail_unknown(const Schema& schema, const std::string& only) {
  std::vector<std::string> names = schema.keys(), sections = sections_of(schema);
  std::erase(sections, "");
  names.insert(names.end(), sections.begin(), sections.end());
  for (const Field& field : schema.fields()) {
    for (const PartInfo& op : field.ops) names.push_back(op.name);
  }
  throw UsageError(fmt::format("no key, section or operation is called \"{}\"{}; sections are {}",
                               only, did_you_mean(only, names), join(sections, ", ")));
}

// "|" ends a cell.
std::string cell(std::string text) {
  for (size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) {
    text.insert(at, 1, '\\');
  }
  return text;
}

std::string key_row(const Field& field) {
  return fmt::format("| `{}` | {} | {} |\n", field.key, cell(facts_text(field)),
                     cell(help_of(field)));
}

std::string part_row(const PartInfo& part) {
  std::vector<std::string> keys;
  for (const Field& field : part.parameters.fields()) {
    keys.push_back(fmt::format("`{}`: {}{}", field.key, facts_text(field),
                               field.help.empty() ? "" : "; " + field.help));
  }
  return fmt::format("| `{}` | {} | {} |\n", part.name, cell(part.help), cell(join(keys, "<br>")));
}

// A table of parts; `seen` holds the names of the tables that the page has already.
std::string part_table(const Field& field, const std::vector<PartInfo>& parts,
                       std::vector<std::string>& seen) {
  std::vector<std::string> names;
  for (const PartInfo& part : parts) names.push_back(part.name);
  const std::string all = join(names, ",");
  if (parts.empty() || std::find(seen.begin(), seen.end(), all) != seen.end()) return "";
  seen.push_back(all);
  std::string text =
      fmt::format("\n`{}`:\n\n| name | what it is | its keys |\n|---|---|---|\n", field.key);
  for (const PartInfo& part : parts) text += part_row(part);
  return text;
}

}  // namespace

std::string help_text(const Schema& schema, const std::string& only) {
  if (const Field* field = schema.find(only)) return field_help(*field, 2);
  if (const PartInfo* op = find_op(schema, only); op != nullptr && !only.empty()) {
    return op_help(*op, 2);
  }
  std::string text;
  for (const std::string& section : sections_of(schema)) {
    if (!only.empty() && !is_inside(section, only)) continue;
    if (!text.empty()) text += '\n';
    text += section_help(schema, section);
  }
  if (text.empty()) fail_unknown(schema, only);
  return text;
}

std::string markdown_text(const Schema& schema) {
  std::string text;
  std::vector<std::string> seen;
  for (const std::string& section : sections_of(schema)) {
    text += fmt::format("{}### `{}`\n\n| key | takes | meaning |\n|---|---|---|\n",
                        text.empty() ? "" : "\n", section.empty() ? "(top)" : section);
    for (const Field& field : schema.fields()) {
      if (section_of(field.key) == section) text += key_row(field);
    }
    for (const Field& field : schema.fields()) {
      if (section_of(field.key) != section) continue;
      text += part_table(field, field.choices_from, seen);
      text += part_table(field, field.ops, seen);
    }
  }
  return text;
}

}  // namespace podium
