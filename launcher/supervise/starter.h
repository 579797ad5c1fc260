// The command line and environment that start the workers: mpirun, srun, or the worker alone. Read
// next: supervisor.h.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace podium::launcher {

enum class Starter { kLocal, kMpirun, kSrun };

struct LaunchOptions {
  int num_workers = 1;
  std::string hosts;  // as mpirun's --host: "a:4,b:4"; empty: this machine or the Slurm allocation
  std::string starter = "auto";  // "auto", "mpirun", "srun", "local"
  int max_restarts = 3;
  double grace_s = 120;                     // how long workers may take for their last checkpoint
  std::vector<std::string> worker_command;  // "train", "--recipe=r.yaml", ...
  std::filesystem::path log_dir;            // of rank-0.log ...; empty: no files
  // Asked about every 50 ms while workers run; true: they end after a checkpoint, as after a
  // signal. Empty: never.
  std::function<bool()> should_stop;
};

// What of this process's surroundings decides how workers start.
struct Surroundings {
  bool has_mpirun = false;
  bool has_srun = false;
  bool is_in_allocation = false;  // of Slurm
  int num_cores = 1;              // that this process may use
};
Surroundings look_around();

// auto: one worker without hosts: local; else mpirun where there is one, else srun in an
// allocation. Errors: UsageError for a choice that does not fit; IoError "mpirun: not found;
// install openmpi-bin".
Starter choose_starter(const LaunchOptions& options, const Surroundings& surroundings);

struct StartCommand {
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> environment;
};

// `worker`: program and arguments of one worker; `variables`: environment that every worker must
// get, on all hosts. Errors: UsageError for a malformed --hosts.
StartCommand make_start_command(Starter starter, const LaunchOptions& options,
                                const Surroundings& surroundings,
                                const std::vector<std::string>& worker,
                                const std::vector<std::pair<std::string, std::string>>& variables);

}  // namespace podium::launcher
