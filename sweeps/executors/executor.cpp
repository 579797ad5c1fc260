#include "sweeps/executors/executor.h"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/process/subprocess.h"
#include "base/text.h"
#include "base/process/exit_record.h"
#include "base/process/process_identity.h"

namespace podium::sweeps {
namespace fs = std::filesystem;
namespace {

constexpr auto kPoll = std::chrono::milliseconds(100);

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

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

struct HostShare {
  std::string name;
  int slots = 0;
};

std::vector<HostShare> parse_hosts(const std::string& hosts) {
  std::vector<HostShare> shares;
  for (const std::string& part : split(hosts, ',')) {
    const size_t colon = part.rfind(':');
    const auto count =
        colon == std::string::npos ? std::optional<int64_t>(1) : parse_int(part.substr(colon + 1));
    const std::string name = part.substr(0, colon);
    if (name.empty() || !count || *count < 1) {
      throw UsageError(fmt::format("--hosts={}: \"{}\" is not HOST:SLOTS; write as --hosts=a:4,b:4",
                                   hosts, part));
    }
    shares.push_back({name, static_cast<int>(*count)});
  }
  return shares;
}

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

std::string host_text(const HostShare& share, int count) {
  return fmt::format("{}:{}", share.name, count);
}

}  // namespace

std::vector<Slot> local_slots(int num_slots) {
  const std::vector<int> cores = allowed_cores();
  std::vector<Slot> slots;
  for (int i = 0; i < num_slots; ++i) {
    Slot slot{i, {}, ""};
    if (num_slots > 1 && static_cast<int>(cores.size()) >= num_slots) {
      const auto share = [&](int k) {
        return cores.begin() + static_cast<std::ptrdiff_t>(cores.size()) * k / num_slots;
      };
      slot.cores.assign(share(i), share(i + 1));
    } else if (num_slots > 1 && !cores.empty()) {
      slot.cores = {cores[static_cast<size_t>(i) % cores.size()]};
    }
    slots.push_back(std::move(slot));
  }
  return slots;
}

int default_num_slots(int workers) { return std::max(1, available_cores() / workers); }

std::vector<Slot> host_slots(const std::string& hosts, int workers, int max_slots) {
  std::vector<HostShare> shares = parse_hosts(hosts);
  std::vector<Slot> slots;
  const auto add = [&](std::string text) {
    slots.push_back({static_cast<int>(slots.size()), {}, std::move(text)});
  };
  for (HostShare& share : shares) {
    for (; share.slots >= workers; share.slots -= workers) add(host_text(share, workers));
  }
  std::vector<std::string> parts;
  int missing = workers;
  for (const HostShare& share : shares) {
    for (int rest = share.slots; rest > 0;) {
      const int taken = std::min(rest, missing);
      parts.push_back(host_text(share, taken));
      rest -= taken;
      missing -= taken;
      if (missing > 0) continue;
      add(join(std::exchange(parts, {}), ","));
      missing = workers;
    }
  }
  if (slots.empty()) {
    throw UsageError(fmt::format(
        "--hosts={}: a trial needs {} slots; add hosts, or lower `workers`", hosts, workers));
  }
  if (max_slots > 0 && static_cast<int>(slots.size()) > max_slots) {
    slots.resize(static_cast<size_t>(max_slots));
  }
  return slots;
}

StepResult run_child(const StepRequest& request, std::stop_token stop) {
  const TemporaryDirectory exit_directory(fs::temp_directory_path(), "podium-exit");
  make_directories(request.log.parent_path());
  std::string last_line;
  SubprocessOptions options;
  options.arguments = {self_executable()};
  options.arguments.insert(options.arguments.end(), request.arguments.begin(),
                           request.arguments.end());
  options.set_env = {{kExitDirVariable, exit_directory.path().string()},
                     {kParentVariable, this_process()}};
  options.on_line = [&](const std::string& line, bool) {
    if (!trim(line).empty()) last_line = line;
    try {
      append_line(request.log, line);
    } catch (const IoError&) {
      // This is the reader's thread; a full disk will fail the trial itself.
      return;
    }
  };
  if (!wait_for_former_child(request.child_file, stop)) {
    return {static_cast<int>(ExitCode::kInterrupted), "interrupted before it started"};
  }
  append_line(request.log, "$ podium " + join(request.arguments, " "));
  const CoreScope cores(request.slot.cores);
  Subprocess child(std::move(options));
  write_file_atomic(request.child_file, identity_of_process(child.pid()));
  bool is_stopping = false;
  std::optional<ExitStatus> status;
  while (!(status = child.wait_for(kPoll))) {
    if (stop.stop_requested() && !std::exchange(is_stopping, true)) child.send_signal(SIGTERM);
  }
  std::error_code ignored;
  fs::remove(request.child_file, ignored);
  if (status->code == 0) return {};
  const auto records = read_exit_records(exit_directory.path());
  if (!records.empty()) return {records.front().code, records.front().message};
  const int code = status->signal != 0 ? static_cast<int>(ExitCode::kDistributed) : status->code;
  const std::string how = status->signal != 0 ? fmt::format("killed by signal {}", status->signal)
                                              : fmt::format("ended with code {}", status->code);
  return {code, fmt::format("{}; last line: {}; see {}", how, last_line, request.log.string())};
}

}  // namespace podium::sweeps
