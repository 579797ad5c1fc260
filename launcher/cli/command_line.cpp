#include "launcher/cli/command_line.h"

#include <fmt/format.h>
#include <gflags/gflags.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/text.h"

namespace podium::launcher {
namespace {

std::string type_of(const std::string& flag) {
  gflags::CommandLineFlagInfo info;
  if (!gflags::GetCommandLineFlagInfo(flag.c_str(), &info)) {
    throw InternalError(fmt::format("flag --{} is listed by a command but not defined", flag));
  }
  return info.type;
}

bool is_bool_text(const std::string& text) {
  return text == "true" || text == "false" || text == "1" || text == "0" || text == "yes" ||
         text == "no";
}

// What the flag's type expects, when `text` is not that; "" when it is.
std::string expectation(const std::string& type, const std::string& text) {
  if (type == "string") return "";
  if (type == "bool") return is_bool_text(text) ? "" : "true or false";
  if (type == "double") return parse_double(text) ? "" : "a number";
  const auto value = parse_int(text);
  if (type == "uint64") return value && *value >= 0 ? "" : "a whole number, at least 0";
  const bool is_small =
      type != "int32" || (value && *value <= std::numeric_limits<int32_t>::max() &&
                          *value >= std::numeric_limits<int32_t>::min());
  return value && is_small ? "" : "a whole number";
}

// Takes words one by one and fills an invocation.
class Parser {
 public:
  explicit Parser(const std::vector<std::string>& words) : words_(words) {}
  Invocation parse();

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw UsageError(fmt::format("{}: {}; podium {} --help lists the flags",
                                 invocation_.command->name, message, invocation_.command->name));
  }
  void take_flag(const std::string& word);
  std::string value_after(const std::string& flag);
  void check_value(const FlagUse& use, const std::string& value) const;
  void check_complete() const;

  const std::vector<std::string>& words_;
  size_t position_ = 0;
  Invocation invocation_;
};

std::string Parser::value_after(const std::string& flag) {
  if (position_ >= words_.size() || words_[position_] == "--") {
    fail(fmt::format("--{} needs a value, as --{}=VALUE", flag, flag));
  }
  return words_[position_++];
}

void Parser::check_value(const FlagUse& use, const std::string& value) const {
  const std::string expected = expectation(type_of(use.name), value);
  if (!expected.empty()) {
    fail(fmt::format("--{}={}: expected {}", use.name, value, expected));
  }
  if (!use.choices.empty() &&
      std::find(use.choices.begin(), use.choices.end(), value) == use.choices.end()) {
    fail(fmt::format("--{}={}: expected one of {}{}", use.name, value, join(use.choices, ", "),
                     did_you_mean(value, use.choices)));
  }
}

void Parser::take_flag(const std::string& word) {
  const Command& command = *invocation_.command;
  const size_t equals = word.find('=');
  std::string name = word.substr(0, equals);
  name.erase(0, name.starts_with("--") ? 2 : 1);
  const bool has_value = equals != std::string::npos;
  if (name == "help" || name == "h") {
    invocation_.wants_help = true;
    return;
  }
  if (name == "set" && command.takes_overrides) {
    const std::string text = has_value ? word.substr(equals + 1) : value_after(name);
    if (text.find('=') == std::string::npos || text[0] == '=') {
      fail(fmt::format("--set {}: expected key=value, as --set optimizer.lr=1e-4", text));
    }
    invocation_.overrides.push_back(text);
    return;
  }
  const FlagUse* use = command.find(name == "o" ? "output" : name);
  std::string value = "true";
  if (use == nullptr && name.starts_with("no") && !has_value) {
    use = command.find(name.substr(2));
    if (use != nullptr && type_of(use->name) != "bool") use = nullptr;
    value = "false";
  }
  if (use == nullptr) {
    fail(fmt::format("unknown flag --{}{}", name, did_you_mean(name, command.flag_names())));
  }
  if (has_value) {
    value = word.substr(equals + 1);
  } else if (use->value_alone) {
    value = *use->value_alone;
  } else if (type_of(use->name) != "bool") {
    value = value_after(name);
  }
  check_value(*use, value);
  if (!invocation_.values.emplace(use->name, value).second) {
    fail(fmt::format("--{} is given twice", use->name));
  }
}

void Parser::check_complete() const {
  const Command& command = *invocation_.command;
  for (const FlagGroup& group : command.groups) {
    for (const FlagUse& use : group.flags) {
      const bool is_missing = use.is_required && !invocation_.has(use.name);
      if (is_missing) {
        fail(fmt::format("--{} is missing ({})", use.name, use.help));
      }
    }
  }
  if (command.takes_worker_command && invocation_.worker_command.empty()) {
    fail("the workers' command is missing, as -- train --recipe=r.yaml ...");
  }
}

Invocation Parser::parse() {
  invocation_.command = &find_command(words_[position_++]);
  while (position_ < words_.size()) {
    const std::string& word = words_[position_++];
    if (word == "--" && invocation_.command->takes_worker_command) {
      invocation_.worker_command.assign(words_.begin() + static_cast<std::ptrdiff_t>(position_),
                                        words_.end());
      break;
    }
    if (word.size() < 2 || word[0] != '-' || word == "--") {
      fail(fmt::format("unexpected \"{}\": every argument is a --flag=value", word));
    }
    take_flag(word);
  }
  const bool asks_only = invocation_.wants_help || invocation_.has("help_recipe");
  if (!asks_only) check_complete();
  return invocation_;
}

}  // namespace

const FlagUse* Command::find(const std::string& flag) const {
  for (const FlagGroup& group : groups) {
    for (const FlagUse& use : group.flags) {
      if (use.name == flag) return &use;
    }
  }
  return nullptr;
}

std::vector<std::string> Command::flag_names() const {
  std::vector<std::string> names = {"help"};
  if (takes_overrides) names.push_back("set");
  for (const FlagGroup& group : groups) {
    for (const FlagUse& use : group.flags) names.push_back(use.name);
  }
  return names;
}

const Command& find_command(const std::string& name) {
  std::vector<std::string> names;
  for (const Command& command : all_commands()) {
    if (command.name == name) return command;
    names.push_back(command.name);
  }
  throw UsageError(fmt::format("unknown command \"{}\"{}; podium --help lists the commands", name,
                               did_you_mean(name, names)));
}

Invocation parse_command_line(const std::vector<std::string>& words) {
  if (words.empty()) throw UsageError("no command; podium --help lists the commands");
  return Parser(words).parse();
}

void apply_flags(const Invocation& invocation) {
  const auto set = [](const std::string& name, const std::string& value) {
    if (gflags::SetCommandLineOption(name.c_str(), value.c_str()).empty()) {
      throw UsageError(fmt::format("--{}={}: not a value of type {}", name, value, type_of(name)));
    }
  };
  for (const FlagGroup& group : invocation.command->groups) {
    for (const FlagUse& use : group.flags) {
      if (use.default_value) set(use.name, *use.default_value);
    }
  }
  for (const auto& [name, value] : invocation.values) set(name, value);
}

std::vector<std::string> comma_list(const std::string& text) {
  std::vector<std::string> parts;
  for (const std::string& part : split(text, ',')) {
    if (!trim(part).empty()) parts.push_back(trim(part));
  }
  return parts;
}

}  // namespace podium::launcher
