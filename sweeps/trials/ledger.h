// What has been done of each trial: a few files in its directory, no database. Format:
// docs/formats.md. Read next: lease.h, sweep.h.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "sweeps/trials/sweep_plan.h"

namespace podium::sweeps {

enum class TrialState {
  kPending,  // never started, or left behind by a process that ended
  kRunning,  // a live process holds the lease
  kTrained,  // trained; predictions on the test set are missing or of another test set
  kDone,
  kFailed,
};
std::string state_name(TrialState state);

// How a trial failed.
struct Failure {
  int code = 0;      // exit code of the step that failed
  std::string step;  // "train", "predict", "plan"
  std::string message;
  double time = 0;  // s since 1970
};

// `test` is the identity of the test set that predictions are wanted for, "" for none.
TrialState state_of(const Trial& trial, const std::string& test,
                    std::chrono::milliseconds lease_timeout);

// Each is atomic; all need the trial's lease. Errors: IoError.
void record_start(const Trial& trial, const SweepPlan& plan);  // trial.json
void record_trained(const Trial& trial);                       // TRAINED
void record_done(const Trial& trial,
                 const std::string& test);  // test.json, then DONE; no FAILED any more
void record_failure(const Trial& trial, const Failure& failure);  // FAILED
// Before the predictions of a finished trial are made again: it is not finished meanwhile.
void withdraw_done(const Trial& trial);

std::optional<Failure> failure_of(const Trial& trial);
// Metrics of the last evaluation in run/result.json; empty when there is none.
std::map<std::string, double> metrics_of(const Trial& trial);

}  // namespace podium::sweeps
