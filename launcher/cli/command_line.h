// From the words of a command line to a checked invocation. gflags keeps types, defaults and
// values; the words are taken apart here, so that each command refuses the flags of the others and
// names the nearest one. Read next: help.h.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "launcher/cli/command.h"

namespace podium::launcher {

struct Invocation {
  const Command* command = nullptr;
  std::map<std::string, std::string> values;  // given flags
  std::vector<std::string> overrides;         // --set key=value, in order
  std::vector<std::string> worker_command;    // after "--"
  bool wants_help = false;                    // --help

  bool has(const std::string& flag) const { return values.contains(flag); }
};

// `words` are the command line without the program's name. Checks names, types, choices and
// required flags; sets nothing. Errors: UsageError, one line, with the command and the nearest
// name.
Invocation parse_command_line(const std::vector<std::string>& words);

// Sets FLAGS_*: the command's defaults, then what was given.
void apply_flags(const Invocation& invocation);

// "a,b" -> {"a", "b"}; "" -> {}.
std::vector<std::string> comma_list(const std::string& text);

}  // namespace podium::launcher
