// Starts mpi_worker under mpirun, as one call or beside the test, and reads what the ranks say.
// Read next: mpi_worker.cpp.
#pragma once

#include <fmt/format.h>
#include <sys/types.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/process/subprocess.h"

namespace podium::testing {

using Environment = std::vector<std::pair<std::string, std::string>>;

struct MpiOutcome {
  int code = -1;  // -1: did not end in time
  std::string output;
  double seconds = 0;
};

// A world of workers that runs beside the test; it is killed when the object goes.
class MpiWorkers {
 public:
  MpiWorkers(int world_size, const std::vector<std::string>& arguments,
             const Environment& environment = {})
      : start_(std::chrono::steady_clock::now()) {
    SubprocessOptions options;
    options.arguments = {
        PODIUM_MPIRUN, "--oversubscribe",          "--allow-run-as-root", "--bind-to", "none",
        "-n",          std::to_string(world_size), PODIUM_MPI_WORKER};
    options.arguments.insert(options.arguments.end(), arguments.begin(), arguments.end());
    options.set_env = environment;
    options.on_line = [this](const std::string& line, bool) {
      const std::lock_guard lock(mutex_);
      output_ += line + "\n";
    };
    process_ = std::make_unique<Subprocess>(std::move(options));
  }

  std::string output() const {
    const std::lock_guard lock(mutex_);
    return output_;
  }
  // From the worker's line "rank R pid P"; 0 when it has not come yet.
  pid_t pid_of(int rank) const {
    const std::string text = output();
    const std::string head = fmt::format("rank {} pid ", rank);
    const size_t at = text.find(head);
    return at == std::string::npos || text.find('\n', at) == std::string::npos
               ? 0
               : static_cast<pid_t>(std::stol(text.substr(at + head.size())));
  }
  bool has_ended() { return process_->wait_for(std::chrono::milliseconds(0)).has_value(); }
  MpiOutcome wait(std::chrono::seconds limit = std::chrono::seconds(200)) {
    const auto status = process_->wait_for(limit);
    MpiOutcome outcome;
    outcome.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    if (status) outcome.code = status->code;
    outcome.output = output();
    return outcome;
  }

 private:
  std::chrono::steady_clock::time_point start_;
  mutable std::mutex mutex_;
  std::string output_;
  std::unique_ptr<Subprocess> process_;
};

inline MpiOutcome run_workers(int world_size, const std::vector<std::string>& arguments,
                              const Environment& environment = {}) {
  return MpiWorkers(world_size, arguments, environment).wait();
}

}  // namespace podium::testing
