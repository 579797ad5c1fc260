// A sweep plan: a YAML file that names a base recipe, data, folds and what to vary. Format:
// docs/formats.md. Read next: ledger.h, sweep.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "sweeps/strategies/grid.h"

namespace podium::sweeps {

// What flags say instead of the plan file; empty: as the plan says.
struct SweepPlanFlags {
  std::filesystem::path recipe;
  std::filesystem::path data;
  std::filesystem::path test_data;
  std::filesystem::path folds;
  std::vector<std::string> overrides;  // --set: of every trial, after its own
};

struct SweepPlan {
  std::filesystem::path file;
  std::string name;
  std::filesystem::path recipe;
  std::filesystem::path data;
  std::filesystem::path test_data;  // empty: no predictions on test
  std::filesystem::path folds;      // empty: each group is one trial that trains on all samples
  std::vector<int64_t> fold_list;   // which folds; {-1} without a folds file
  int workers = 1;                  // of one trial
  int max_restarts = 3;             // of one trial
  std::string metric;  // key that the summary sorts by; empty: the first of the catalogue
  std::vector<TrialGroup>
      groups;  // product of the axes less the excluded ones, then the explicit trials
};

// Paths in the file are relative to it, those in `flags` to the current directory.
// Errors: RecipeError with file:line; IoError; DataError for a folds file that cannot be
// understood.
SweepPlan load_sweep_plan(const std::filesystem::path& file, const SweepPlanFlags& flags);

// One execution: a group and a fold.
struct Trial {
  std::string name;   // "sharpening/fold0", or the group's name without folds
  std::string group;  // "sharpening"
  int64_t fold = -1;
  std::vector<std::string> overrides;
  std::string digest;  // XXH3-128 of recipe, data, folds and fold: its identity
  std::filesystem::path directory;
  std::string error;  // a recipe error of this trial's overrides: it cannot run, the others can
};

// The trials in the order of groups, folds within. Errors: RecipeError when the base recipe itself
// is bad or when two groups are the same experiment; DataError, IoError for the data set.
std::vector<Trial> expand_sweep_plan(const SweepPlan& plan, const std::filesystem::path& output);

// Identity of the test set, "" without one.
std::string test_digest(const SweepPlan& plan);

}  // namespace podium::sweeps
