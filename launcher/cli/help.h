// The texts of --help and --version.
#pragma once

#include <string>

#include "launcher/cli/command.h"

namespace podium::launcher {

// `podium --help`: the commands, the exit codes.
std::string program_help();
// `podium COMMAND --help`: flags in groups with type, default and unit, then examples.
std::string command_help(const Command& command);
// Revision, compiler and libraries, a line each.
std::string version_text();

}  // namespace podium::launcher
