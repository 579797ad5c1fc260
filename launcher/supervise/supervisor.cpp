#include "launcher/supervise/supervisor.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process/exit_record.h"
#include "base/process/process_identity.h"
#include "base/process/signal_queue.h"
#include "base/process/subprocess.h"
#include "base/text.h"
#include "launcher/supervise/end_of_workers.h"
#include "launcher/supervise/worker_output.h"

namespace podium::launcher {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPoll = std::chrono::milliseconds(50);
constexpr auto kKillDelay = std::chrono::seconds(5);  // between TERM and KILL
constexpr auto kRestartDelay = std::chrono::seconds(1);

// Where the folder of the workers' exit records lies. Workers on several machines share only what
// is beside the run directory.
fs::path exit_records_base(const LaunchOptions& options) {
  const bool is_shared = !options.hosts.empty() || std::getenv("SLURM_JOB_ID") != nullptr;
  if (!is_shared || options.log_dir.empty()) return fs::temp_directory_path();
  const fs::path base = fs::absolute(options.log_dir).parent_path().parent_path();
  make_directories(base);
  return base;
}

void show_line(const std::string& text, bool is_stderr) {
  std::FILE* stream = is_stderr ? stderr : stdout;
  fmt::print(stream, "{}\n", text);
  std::fflush(stream);
}

// Waits for the workers' end and passes signals on meanwhile.
class Watch {
 public:
  Watch(Subprocess& workers, SignalQueue& signals, const LaunchOptions& options)
      : workers_(workers), signals_(signals), options_(options), grace_(options.grace_s) {}

  ExitStatus wait() {
    while (true) {
      if (const auto status = workers_.wait_for(std::chrono::milliseconds(0))) return *status;
      if (const auto signal = signals_.wait_for(kPoll)) pass_on(*signal);
      if (num_signals_ == 0 && options_.should_stop && options_.should_stop()) {
        ++num_signals_;
        send(SIGUSR2);
      }
      if (Clock::now() >= deadline_) force_end();
    }
  }
  bool is_interrupted() const { return num_signals_ > 0; }

 private:
  void pass_on(int signal) {
    const bool asks_to_end = signal == SIGINT || signal == SIGTERM;
    ++num_signals_;
    if (asks_to_end && num_signals_ > 1) {
      log_warning("second signal: ending the workers without waiting for a checkpoint");
      force_end();
      return;
    }
    log_info("signal {}: the workers write a checkpoint and end (at most {} s)", signal,
             shortest(grace_.count()));
    send(asks_to_end ? SIGUSR2 : signal);
  }

  // A signal after which the workers may take a while.
  void send(int signal) {
    workers_.send_signal(signal);
    const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(grace_);
    deadline_ = std::min(deadline_, end);
  }

  // TERM, then KILL.
  void force_end() {
    if (was_terminated_) log_warning("the workers did not end: killed");
    workers_.send_signal(was_terminated_ ? SIGKILL : SIGTERM);
    was_terminated_ = true;
    deadline_ = Clock::now() + kKillDelay;
  }

  Subprocess& workers_;
  SignalQueue& signals_;
  const LaunchOptions& options_;
  std::chrono::duration<double> grace_;
  int num_signals_ = 0;
  bool was_terminated_ = false;
  Clock::time_point deadline_ = Clock::time_point::max();  // of the next measure
};

// "rank 1 of 4 failed first (exit code 3): shard x ...".
std::string describe(const EndOfWorkers& end, int num_workers) {
  const std::string who = num_workers == 1 ? "the worker failed"
                          : end.rank < 0
                              ? "the workers failed"
                              : fmt::format("rank {} of {} failed first", end.rank, num_workers);
  return fmt::format("{} (exit code {}): {}", who, end.exit_code, end.message);
}

// The last lines of the rank that failed first, where the others' have come after them; what the
// starter says when no rank is known.
void print_last_lines(const EndOfWorkers& end, const WorkerOutput& output, int num_workers) {
  const bool is_of_starter = end.rank < 0;
  const std::vector<std::string> lines =
      is_of_starter ? output.starter_lines() : output.last_lines(end.rank);
  if (lines.empty() || (num_workers == 1 && !is_of_starter)) return;
  std::string text =
      is_of_starter ? "\nthe starter says:\n" : fmt::format("\nlast lines of rank {}:\n", end.rank);
  for (const std::string& line : lines) text += "  | " + line + "\n";
  fmt::print(stderr, "{}", text);
}

struct Attempt {
  EndOfWorkers end;
  bool is_interrupted = false;
};

Attempt run_once(const LaunchOptions& options, Starter starter, const Surroundings& surroundings,
                 const std::vector<std::string>& worker_command, SignalQueue& signals) {
  const TemporaryDirectory exit_directory(exit_records_base(options), ".podium-exit");
  std::vector<std::string> worker = {self_executable()};
  worker.insert(worker.end(), worker_command.begin(), worker_command.end());
  std::vector<std::pair<std::string, std::string>> variables = {
      {kExitDirVariable, exit_directory.path().string()},
      {kParentVariable, this_process()},
      {"PODIUM_LAUNCHED", "1"}};
  // mpirun hands only these on to other hosts; equal thread counts everywhere are what equal bits
  // need.
  const char* threads = std::getenv("OMP_NUM_THREADS");
  if (threads != nullptr) variables.emplace_back("OMP_NUM_THREADS", threads);
  const StartCommand command =
      make_start_command(starter, options, surroundings, worker, variables);
  WorkerOutput output(starter, options.num_workers, options.log_dir, show_line);
  SubprocessOptions process;
  process.arguments = command.arguments;
  process.set_env = command.environment;
  process.on_line = [&](const std::string& line, bool is_stderr) { output.add(line, is_stderr); };
  Subprocess workers(std::move(process));
  Watch watch(workers, signals, options);
  const ExitStatus status = watch.wait();
  Attempt attempt;
  attempt.end = explain_end(starter, status, read_exit_records(exit_directory.path()),
                            output.starter_lines());
  attempt.is_interrupted = watch.is_interrupted();
  if (attempt.is_interrupted && attempt.end.signal != 0) {
    // The signal came before the workers could catch it, or they did not end in time.
    attempt.end.exit_code = static_cast<int>(ExitCode::kInterrupted);
    attempt.end.message =
        "interrupted; the same command goes on from the newest checkpoint, if there is one";
  }
  const bool is_quiet = attempt.end.exit_code == 0 ||
                        attempt.end.exit_code == static_cast<int>(ExitCode::kInterrupted);
  if (!is_quiet) print_last_lines(attempt.end, output, options.num_workers);
  return attempt;
}

}  // namespace

std::vector<std::string> restart_command(const std::vector<std::string>& worker_command) {
  std::vector<std::string> result;
  for (size_t i = 0; i < worker_command.size(); ++i) {
    const std::string& word = worker_command[i];
    if (word.starts_with("--resume=") || word.starts_with("-resume=")) continue;
    if (word == "--resume" || word == "-resume") {
      ++i;
      continue;
    }
    result.push_back(word);
  }
  if (!result.empty() && result[0] == "train") result.push_back("--resume=auto");
  return result;
}

void launch(const LaunchOptions& options) {
  const Surroundings surroundings = look_around();
  const Starter starter = choose_starter(options, surroundings);
  SignalQueue signals({SIGINT, SIGTERM, SIGUSR1, SIGUSR2});
  std::vector<std::string> worker_command = options.worker_command;
  for (int restarts = 0;; ++restarts) {
    const Attempt attempt = run_once(options, starter, surroundings, worker_command, signals);
    const EndOfWorkers& end = attempt.end;
    if (end.exit_code == 0) return;
    if (end.exit_code == static_cast<int>(ExitCode::kInterrupted)) {
      throw InterruptedError(end.message);
    }
    if (attempt.is_interrupted || !end.is_worth_retry || restarts == options.max_restarts) {
      throw Error(static_cast<ExitCode>(end.exit_code), describe(end, options.num_workers));
    }
    log_warning("{}; restart {} of {} from the newest checkpoint",
                describe(end, options.num_workers), restarts + 1, options.max_restarts);
    worker_command = restart_command(options.worker_command);
    if (const auto signal = signals.wait_for(kRestartDelay)) {
      throw InterruptedError(
          fmt::format("signal {} between two starts; the same command goes on", *signal));
    }
  }
}

}  // namespace podium::launcher
