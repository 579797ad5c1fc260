// One step of a trial, and the child process that does it. Read next: sweep.h.
#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "sweeps/executors/slots.h"

namespace podium::sweeps {

// One step of a trial.
struct TrialStep {
  std::string command;                 // "train", "predict"
  std::vector<std::string> arguments;  // of podium: "launch", "-n", "2", "--", "train", ...
  std::filesystem::path log;           // output is appended here
  std::filesystem::path
      child_file;  // names the child while it lives, so that a later sweep waits for its end
  Slot slot;
};
struct TrialStepResult {
  int code = 0;
  std::string message;  // why it failed, one line
};
// Runs a step; when a stop is requested, ends it after its checkpoint and returns code 75.
using TrialStepRunner = std::function<TrialStepResult(const TrialStep&, std::stop_token)>;

// Runs `podium ARGUMENTS` as a child process on the slot's cores. Errors: IoError.
TrialStepResult run_child(const TrialStep& trial_step, std::stop_token stop);

}  // namespace podium::sweeps
