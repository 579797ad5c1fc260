// The podium binary: one command line in, one exit code out. The only place that catches. Read
// next: command_line.h, commands.h.
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <new>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/process/exit_record.h"
#include "base/process/process_identity.h"
#include "base/text.h"
#include "distributed/communicator.h"
#include "distributed/world/world.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/help.h"

namespace podium::launcher {
namespace {

void run(const std::vector<std::string>& words) {
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    const bool is_of_command = words.size() > 1;
    fmt::print("{}", is_of_command ? command_help(find_command(words[1])) : program_help());
    return;
  }
  if (words[0] == "--version") {
    fmt::print("{}", version_text());
    return;
  }
  const Invocation invocation = parse_command_line(words);
  if (invocation.wants_help) {
    fmt::print("{}", command_help(*invocation.command));
    return;
  }
  apply_flags(invocation);
  invocation.command->run(invocation);
}

// Tells the user and the process that started this one why it ends.
int end_with(ExitCode code, const std::string& message) {
  const int number = static_cast<int>(code);
  const int rank = worker_rank();
  const std::string prefix = rank < 0 ? "" : fmt::format("[rank {}] ", rank);
  std::fflush(stdout);
  fmt::print(stderr, "{}podium: {}\n", prefix, message);
  write_exit_record(number, message);
  // The other workers would wait for this one; after an interruption all end by themselves.
  if (code != ExitCode::kInterrupted) abort_workers(number);
  return number;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace
}  // namespace podium::launcher

int main(int argc, char** argv) {
  using podium::ExitCode;
  using podium::launcher::end_with;
  using podium::launcher::first_line;
  podium::init_logging("podium", podium::worker_rank());
  podium::end_with_parent();
  try {
    podium::launcher::run({argv + 1, argv + argc});
    podium::write_exit_record(0, "");
    return 0;
  } catch (const podium::Error& error) {
    return end_with(error.exit_code(), error.what());
  } catch (const std::bad_alloc&) {
    return end_with(ExitCode::kInternal,
                    "out of memory; lower the batch size or the number of workers per machine");
  } catch (const c10::Error& error) {
    return end_with(ExitCode::kInternal, first_line(error.what_without_backtrace()));
  } catch (const std::exception& error) {
    return end_with(ExitCode::kInternal, first_line(error.what()));
  }
}
