// Each child has two threads: one reads its pipes, one waits for its end. Threads, not signal
// handlers: MPI owns SIGCHLD.
#include "base/process/subprocess.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "base/error.h"

namespace podium {
namespace {

// A grandchild that keeps the pipe open must not keep the parent waiting: how long its output is
// still read.
constexpr auto kOutputGrace = std::chrono::seconds(2);
constexpr int kPollMs = 50;

struct Pipe {
  int read_end = -1;
  int write_end = -1;
  ~Pipe() {
    close_one(read_end);
    close_one(write_end);
  }
  static void close_one(int& fd) {
    if (fd >= 0) ::close(std::exchange(fd, -1));
  }
  void open() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
      throw IoError(fmt::format("cannot open a pipe: {}; raise the limit of open files (ulimit -n)",
                                std::strerror(errno)));
    }
    read_end = ends[0];
    write_end = ends[1];
  }
};

// posix_spawn's objects, freed at the end of the scope.
struct SpawnSetup {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  SpawnSetup() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  // A child starts with no blocked and no ignored signal, whatever this process has set for itself.
  void set_attributes(bool own_process_group) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    if (own_process_group) {
      posix_spawnattr_setpgroup(&attributes, 0);
      flags |= POSIX_SPAWN_SETPGROUP;
      // A background group that reads the terminal would be stopped.
      posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    }
    posix_spawnattr_setflags(&attributes, flags);
  }
};

std::vector<std::string> environment_with(
    const std::vector<std::pair<std::string, std::string>>& changes) {
  std::map<std::string, std::string> replaced;
  for (const auto& [name, value] : changes) replaced[name] = value;
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!replaced.contains(text.substr(0, text.find('=')))) result.push_back(text);
  }
  for (const auto& [name, value] : replaced) result.push_back(name + "=" + value);
  return result;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

IoError start_error(const SubprocessOptions& options, int error_number) {
  static const std::map<std::string, std::string> kPackages = {
      {"mpirun", "openmpi-bin"},   {"mpiexec", "openmpi-bin"}, {"srun", "slurm-client"},
      {"sbatch", "slurm-client"},  {"squeue", "slurm-client"}, {"scancel", "slurm-client"},
      {"scontrol", "slurm-client"}};
  const std::string& program = options.arguments[0];
  const bool has_directory = !options.working_directory.empty();
  if (has_directory && !std::filesystem::is_directory(options.working_directory)) {
    return IoError(fmt::format("cannot start {}: {} is not a directory; check the path", program,
                               options.working_directory));
  }
  if (error_number != ENOENT) {
    return IoError(fmt::format("cannot start {}: {}", program, std::strerror(error_number)));
  }
  const auto package = kPackages.find(program);
  return IoError(package == kPackages.end()
                     ? fmt::format("{}: not found; check the path and PATH", program)
                     : fmt::format("{}: not found; install {}", program, package->second));
}

// Collects bytes of one stream and hands out whole lines.
struct LineReader {
  int fd;
  bool is_stderr;
  std::string rest = {};

  // False at the end of the stream.
  bool read_some(const std::function<void(const std::string&, bool)>& on_line) {
    std::array<char, 65536> buffer;
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0) return errno == EINTR || errno == EAGAIN;
    rest.append(buffer.data(), static_cast<size_t>(count));
    size_t begin = 0;
    for (size_t end; (end = rest.find('\n', begin)) != std::string::npos; begin = end + 1) {
      on_line(rest.substr(begin, end - begin), is_stderr);
    }
    rest.erase(0, begin);
    return count > 0;
  }
  void finish(const std::function<void(const std::string&, bool)>& on_line) {
    if (!rest.empty()) on_line(std::exchange(rest, ""), is_stderr);
  }
};

}  // namespace

struct Subprocess::State {
  SubprocessOptions options;
  Pipe out, err;
  pid_t pid = -1;
  std::mutex mutex;
  std::condition_variable changed;
  bool is_exited = false;  // reaped: the pid may belong to another process
  bool is_read = false;
  ExitStatus status;
  std::atomic<bool> stop_reading{false};
  std::thread reader, waiter;

  void spawn();
  void read_output();
  void await_exit();
  void send(int signal);
};

void Subprocess::State::spawn() {
  if (options.arguments.empty()) throw InternalError("Subprocess without arguments");
  SpawnSetup setup;
  setup.set_attributes(options.own_process_group);
  if (options.on_line) {
    out.open();
    err.open();
    posix_spawn_file_actions_adddup2(&setup.actions, out.write_end, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&setup.actions, err.write_end, STDERR_FILENO);
  }
  if (!options.working_directory.empty()) {
    posix_spawn_file_actions_addchdir_np(&setup.actions, options.working_directory.c_str());
  }
  std::vector<std::string> environment = environment_with(options.set_env);
  std::vector<std::string> arguments = options.arguments;
  const int error_number =
      ::posix_spawnp(&pid, arguments[0].c_str(), &setup.actions, &setup.attributes,
                     pointers_to(arguments).data(), pointers_to(environment).data());
  if (error_number != 0) throw start_error(options, error_number);
  Pipe::close_one(out.write_end);
  Pipe::close_one(err.write_end);
}

void Subprocess::State::read_output() {
  std::array<LineReader, 2> readers = {{{out.read_end, false}, {err.read_end, true}}};
  std::array<pollfd, 2> polls = {{{out.read_end, POLLIN, 0}, {err.read_end, POLLIN, 0}}};
  while (!stop_reading && (polls[0].fd >= 0 || polls[1].fd >= 0)) {
    if (::poll(polls.data(), polls.size(), kPollMs) <= 0) continue;
    for (size_t i = 0; i < polls.size(); ++i) {
      if (polls[i].fd < 0 || polls[i].revents == 0) continue;
      // poll() skips negative descriptors.
      if (!readers[i].read_some(options.on_line)) polls[i].fd = -1;
    }
  }
  for (LineReader& line_reader : readers) line_reader.finish(options.on_line);
  const std::lock_guard lock(mutex);
  is_read = true;
  changed.notify_all();
}

void Subprocess::State::await_exit() {
  // Waits without reaping, so that send() can never hit a reused pid: reaping happens under the
  // lock.
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  std::unique_lock lock(mutex);
  int raw = 0;
  while (::waitpid(pid, &raw, 0) < 0 && errno == EINTR) {
  }
  status.signal = WIFSIGNALED(raw) ? WTERMSIG(raw) : 0;
  status.code = status.signal != 0 ? 128 + status.signal : WEXITSTATUS(raw);
  is_exited = true;
  changed.notify_all();
  if (!changed.wait_for(lock, kOutputGrace, [this] { return is_read; })) stop_reading = true;
}

void Subprocess::State::send(int signal) {
  const std::lock_guard lock(mutex);
  if (!is_exited) ::kill(options.own_process_group ? -pid : pid, signal);
}

Subprocess::Subprocess(SubprocessOptions options) : state_(std::make_shared<State>()) {
  state_->options = std::move(options);
  state_->spawn();
  pid_ = state_->pid;
  State* state = state_.get();
  state->is_read = !state->options.on_line;
  if (state->options.on_line) state->reader = std::thread([state] { state->read_output(); });
  state->waiter = std::thread([state] { state->await_exit(); });
}

Subprocess::~Subprocess() {
  state_->send(SIGKILL);
  state_->waiter.join();
  if (state_->reader.joinable()) state_->reader.join();
}

std::optional<ExitStatus> Subprocess::wait_for(std::chrono::milliseconds timeout) {
  std::unique_lock lock(state_->mutex);
  const auto is_ended = [this] { return state_->is_exited && state_->is_read; };
  if (!state_->changed.wait_for(lock, timeout, is_ended)) return std::nullopt;
  return state_->status;
}

ExitStatus Subprocess::wait() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [this] { return state_->is_exited && state_->is_read; });
  return state_->status;
}

void Subprocess::send_signal(int signal) { state_->send(signal); }

std::string self_executable() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

}  // namespace podium
