// What a command is: its flags with help, examples and the function behind it. Read next:
// command_line.h, commands.h.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace podium::launcher {

struct Invocation;

// A flag as one command uses it. Type and default come from flags.cpp unless `default_value` says
// otherwise.
struct FlagUse {
  std::string name;
  std::string help;  // one sentence, with unit and range
  bool is_required = false;
  std::optional<std::string> default_value = {};
  std::string default_text = {};  // shown instead of the value: "by cores and workers"
  std::vector<std::string> choices = {};
  // Of a flag that may stand without a value: what it then is.
  std::optional<std::string> value_alone = {};
};

// Flags that belong together under a heading of the help text.
struct FlagGroup {
  std::string title;
  std::vector<FlagUse> flags;
};

struct Command {
  std::string name;
  std::string summary;  // one line
  std::vector<FlagGroup> groups;
  std::vector<std::string> examples;  // whole command lines
  std::string notes = {};             // paragraphs at the end of the help
  bool takes_overrides = false;       // --set key=value
  bool takes_worker_command = false;  // -- COMMAND ...
  std::function<void(const Invocation&)> run;

  const FlagUse* find(const std::string& flag) const;
  std::vector<std::string> flag_names() const;
};

// The commands in the order of the help text; an explicit list.
const std::vector<Command>& all_commands();
// Errors: UsageError "unknown command \"trian\" (did you mean \"train\"?)".
const Command& find_command(const std::string& name);

}  // namespace podium::launcher
