#include "launcher/cli/help.h"

#include <fmt/format.h>
#include <gflags/gflags.h>
#include <mpi.h>
#include <torch/version.h>

#include <filesystem>
#include <opencv2/core/version.hpp>

#include "base/process/subprocess.h"
#include "base/text.h"
#include "base/version.h"

namespace podium::launcher {
namespace {

constexpr size_t kTextWidth = 100;

// Words of `text` in lines of kTextWidth that start `indent` columns in.
std::string wrapped(const std::string& text, size_t indent) {
  std::string result;
  std::string line;
  for (const std::string& word : split(text, ' ')) {
    if (!line.empty() && indent + line.size() + 1 + word.size() > kTextWidth) {
      result += std::string(indent, ' ') + line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return result + std::string(indent, ' ') + line + "\n";
}

std::string value_name(const std::string& type) {
  if (type == "string") return "TEXT";
  if (type == "double") return "NUMBER";
  return type == "bool" ? "" : "INT";
}

// gflags writes doubles with 17 digits.
std::string default_of(const gflags::CommandLineFlagInfo& info) {
  return info.type == "double" ? fmt::format("{}", std::stod(info.default_value))
                               : info.default_value;
}

std::string flag_help(const FlagUse& use) {
  gflags::CommandLineFlagInfo info;
  gflags::GetCommandLineFlagInfo(use.name.c_str(), &info);
  const std::string name = value_name(info.type);
  const std::string choices = join(use.choices, "|");
  std::string value = name.empty() ? "" : "=" + (choices.empty() ? name : choices);
  if (use.value_alone) value = "[" + value + "]";
  std::string fact = use.default_text;
  if (fact.empty()) fact = use.default_value.value_or(default_of(info));
  const std::string note = use.is_required ? " (required)"
                           : fact.empty()  ? ""
                                           : fmt::format(" (default: {})", fact);
  const std::string dashes = use.name.size() == 1 ? "-" : "--";
  const std::string shown =
      use.name.size() == 1 ? "-" + use.name + " " + name : dashes + use.name + value;
  return "  " + shown + "\n" + wrapped(use.help + note, 6);
}

std::string mpi_library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);  // allowed before MPI_Init
  return split(text, ',')[0];
}

std::string cuda_module() {
  const auto file = std::filesystem::path(self_executable()).parent_path() / "libpodium_cuda.so";
  std::error_code ignored;
  return std::filesystem::exists(file, ignored) ? "built (" + file.filename().string() + ")"
                                                : "not built (no CUDA headers at build time)";
}

}  // namespace

std::string program_help() {
  size_t width = 0;
  for (const Command& command : all_commands()) width = std::max(width, command.name.size());
  std::string text =
      "podium trains, searches and reruns image-competition pipelines.\n\n"
      "usage: podium COMMAND [--flag=value]...\n\ncommands:\n";
  for (const Command& command : all_commands()) {
    text += fmt::format("  {:<{}}  {}\n", command.name, width, command.summary);
  }
  return text +
         "\npodium COMMAND --help    flags and an example of each command\n"
         "podium --version         revision and libraries\n\n"
         "exit codes: 0 ok, 2 usage or recipe, 3 data, 4 file system, 5 a worker was lost, "
         "6 the loss diverged,\n            70 internal error, 75 interrupted after a checkpoint "
         "(run the same command again)\n";
}

std::string command_help(const Command& command) {
  const std::string rest = command.takes_worker_command ? " -- COMMAND ..." : "";
  std::string text = fmt::format("podium {}: {}\n\nusage: podium {} [--flag=value]...{}\n",
                                 command.name, command.summary, command.name, rest);
  for (const FlagGroup& group : command.groups) {
    text += "\n" + group.title + ":\n";
    for (const FlagUse& use : group.flags) text += flag_help(use);
  }
  if (command.takes_overrides) {
    text += "\nrecipe:\n  --set KEY=VALUE\n" +
            wrapped(
                "Override a recipe key, any number of times: --set optimizer.lr=1e-4. "
                "podium train --help_recipe lists the keys.",
                6);
  }
  text += "\nexample:\n";
  for (const std::string& example : command.examples) text += "  " + example + "\n";
  if (!command.notes.empty()) text += "\n" + wrapped(command.notes, 0);
  return text;
}

std::string version_text() {
  const BuildInfo& build = build_info();
  return fmt::format(
      "podium {}\nrevision: {}{}\ncompiler: {}, {} ({})\nlibtorch: {}\nMPI: {}\nOpenCV: {}\n"
      "CUDA module: {}\n",
      kVersion, build.source_revision, build.is_tree_clean ? "" : " (with changes)", build.compiler,
      build.build_type, build.flags, TORCH_VERSION, mpi_library(), CV_VERSION, cuda_module());
}

}  // namespace podium::launcher
