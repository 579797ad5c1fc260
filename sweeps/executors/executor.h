// Where trials run: slots with a share of the cores or hosts, and the child process that does one
// step of a trial. Read next: sweep.h.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

namespace podium::sweeps {

// One place for one trial at a time.
struct Slot {
  int index = 0;
  std::vector<int> cores;  // of this machine that its processes may use; empty: all
  std::string hosts;       // "a:2,b:2" for mpirun; empty: this machine
};

// num_slots slots over the cores this process may use; each core belongs to one slot when there are
// enough of them.
std::vector<Slot> local_slots(int num_slots);
// Default of --slots: as many trials as fit on the cores, at least one.
int default_num_slots(int workers);
// Slots of `workers` ranks from "a:4,b:4", whole hosts' shares first, what is left of several hosts
// together last; at most max_slots (0: as many as fit). Errors: UsageError when the list is
// malformed or one trial does not fit.
std::vector<Slot> host_slots(const std::string& hosts, int workers, int max_slots);

// One step of a trial.
struct StepRequest {
  std::string step;                    // "train", "predict"
  std::vector<std::string> arguments;  // of podium: "launch", "-n", "2", "--", "train", ...
  std::filesystem::path log;           // output is appended here
  std::filesystem::path
      child_file;  // names the child while it lives, so that a later sweep waits for its end
  Slot slot;
};
struct StepResult {
  int code = 0;
  std::string message;  // why it failed, one line
};
// Runs a step; when a stop is requested, ends it after its checkpoint and returns code 75.
using StepRunner = std::function<StepResult(const StepRequest&, std::stop_token)>;

// Runs `podium ARGUMENTS` as a child process on the slot's cores. Errors: IoError.
StepResult run_child(const StepRequest& request, std::stop_token stop);

}  // namespace podium::sweeps
