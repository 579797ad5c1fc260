// Child processes by posix_spawn (safe once MPI is up), each in a process group of its own.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace podium {

struct SubprocessOptions {
  std::vector<std::string> arguments;  // arguments[0] is looked up in PATH
  std::vector<std::pair<std::string, std::string>>
      set_env;                    // added to or replacing the environment
  std::string working_directory;  // empty: as is
  // Called from a reader thread with each complete line of stdout / stderr (no newline). Empty:
  // inherited from the parent.
  std::function<void(const std::string& line, bool is_stderr)> on_line;
  bool own_process_group = true;  // so that terminate() reaches grandchildren
};

// How a child ended: exit code, or 128 + signal.
struct ExitStatus {
  int code = 0;
  int signal = 0;  // 0 when it exited by itself
};

class Subprocess {
 public:
  // Errors: IoError when the program cannot be started ("mpirun: not found; install openmpi-bin").
  explicit Subprocess(SubprocessOptions options);
  ~Subprocess();  // kills and reaps when still running
  Subprocess(const Subprocess&) = delete;
  Subprocess& operator=(const Subprocess&) = delete;
  pid_t pid() const { return pid_; }
  // Waits until the child has ended and its output is read. nullopt after the timeout.
  std::optional<ExitStatus> wait_for(std::chrono::milliseconds timeout);
  ExitStatus wait();
  // Sends a signal to the child's process group.
  void send_signal(int signal);

 private:
  struct State;
  std::shared_ptr<State> state_;
  pid_t pid_ = -1;
};

// Path of the running podium binary (/proc/self/exe).
std::string self_executable();

}  // namespace podium
