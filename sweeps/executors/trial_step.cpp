// Starting, watching and stopping the child of a step.
#include "sweeps/executors/trial_step.h"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <optional>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/process/exit_record.h"
#include "base/process/process_identity.h"
#include "base/process/subprocess.h"
#include "base/text.h"

namespace podium::sweeps {
namespace fs = std::filesystem;
namespace {

constexpr auto kPoll = std::chrono::milliseconds(100);

// Restricts the calling thread for its scope; child processes that it starts inherit that, with all
// their threads.
class CoreScope {
 public:
  explicit CoreScope(const std::vector<int>& cores) : is_set_(!cores.empty()) {
    if (!is_set_) return;
    ::sched_getaffinity(0, sizeof(before_), &before_);
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int core : cores) CPU_SET(core, &set);
    ::sched_setaffinity(0, sizeof(set), &set);
  }
  ~CoreScope() {
    if (is_set_) ::sched_setaffinity(0, sizeof(before_), &before_);
  }
  CoreScope(const CoreScope&) = delete;
  CoreScope& operator=(const CoreScope&) = delete;

 private:
  bool is_set_;
  cpu_set_t before_;
};

// The child of a sweep that was killed notices that and ends after a checkpoint; two of them must
// not share a run directory. False when a stop is requested meanwhile.
bool wait_for_former_child(const fs::path& child_file, const std::stop_token& stop) {
  std::error_code ignored;
  if (!fs::exists(child_file, ignored)) return true;
  const std::string identity = read_file(child_file);
  const bool is_of_this_machine =
      identity.substr(0, identity.find('|')) == this_process().substr(0, this_process().find('|'));
  while (is_of_this_machine && !identity.empty() && !is_known_dead(identity)) {
    if (stop.stop_requested()) return false;
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

}  // namespace

TrialStepResult run_child(const TrialStep& trial_step, std::stop_token stop) {
  const TemporaryDirectory exit_directory(fs::temp_directory_path(), "podium-exit");
  make_directories(trial_step.log.parent_path());
  std::string last_line;
  SubprocessOptions options;
  options.arguments = {self_executable()};
  options.arguments.insert(options.arguments.end(), trial_step.arguments.begin(),
                           trial_step.arguments.end());
  options.set_env = {{kExitDirVariable, exit_directory.path().string()},
                     {kParentVariable, this_process()}};
  options.on_line = [&](const std::string& line, bool) {
    if (!trim(line).empty()) last_line = line;
    try {
      append_line(trial_step.log, line);
    } catch (const IoError&) {
      // This is the reader's thread; a full disk will fail the trial itself.
      return;
    }
  };
  if (!wait_for_former_child(trial_step.child_file, stop)) {
    return {static_cast<int>(ExitCode::kInterrupted), "interrupted before it started"};
  }
  append_line(trial_step.log, "$ podium " + join(trial_step.arguments, " "));
  const CoreScope cores(trial_step.slot.cores);
  Subprocess child(std::move(options));
  write_file_atomic(trial_step.child_file, identity_of_process(child.pid()));
  bool is_stopping = false;
  std::optional<ExitStatus> status;
  while (!(status = child.wait_for(kPoll))) {
    if (stop.stop_requested() && !std::exchange(is_stopping, true)) child.send_signal(SIGTERM);
  }
  std::error_code ignored;
  fs::remove(trial_step.child_file, ignored);
  if (status->code == 0) return {};
  const auto records = read_exit_records(exit_directory.path());
  if (!records.empty()) return {records.front().code, records.front().message};
  const int code = status->signal != 0 ? static_cast<int>(ExitCode::kDistributed) : status->code;
  const std::string how = status->signal != 0 ? fmt::format("killed by signal {}", status->signal)
                                              : fmt::format("ended with code {}", status->code);
  return {code, fmt::format("{}; last line: {}; see {}", how, last_line, trial_step.log.string())};
}

}  // namespace podium::sweeps
