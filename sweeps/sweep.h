// `podium sweep`: the trials of a plan over the free slots, by one process or by several on a
// shared disk. Read next: sweep_plan.h, ledger.h, executor_table.h, summary.h.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "sweeps/executors/trial_step.h"
#include "sweeps/trials/summary.h"
#include "sweeps/trials/sweep_plan.h"

namespace podium::sweeps {

struct SweepOptions {
  std::filesystem::path plan;
  SweepPlanFlags plan_flags;
  std::filesystem::path output;
  std::string executor = "local";  // a row of executor_table()
  std::string hosts;               // "a:4,b:4", for "mpi"
  int num_slots = 0;               // 0: local: cores / workers; mpi: as many as the hosts take
  std::string device = "auto";
  bool retry_failed = true;  // try again what failed in an earlier sweep
  // A lease without heartbeat for this long is taken over.
  std::chrono::milliseconds lease_timeout{60'000};
  TrialStepRunner runner = run_child;
};

struct SweepResult {
  Summary summary;
  int num_done = 0;
  int num_run = 0;  // trials that this process worked on
  int num_failed = 0;
  int first_failure_code = 0;  // of the first failed trial in plan order
  bool is_interrupted = false;
  std::filesystem::path summary_file;
};

// Runs what is not done yet, waits for trials that other sweeps are running (and takes over those
// whose sweep died), and writes OUTPUT/summary.json. A failing trial does not stop the others.
// SIGINT, SIGTERM and SIGUSR1 end the running trials after a checkpoint. Errors: RecipeError for
// the plan, DataError, IoError, UsageError for an unknown executor.
SweepResult run_sweep(const SweepOptions& options);

// What `--dry_run` prints: each trial with digest, state and overrides.
std::string describe_sweep(const SweepOptions& options);

}  // namespace podium::sweeps
