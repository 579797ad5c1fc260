// The stage after the trials: prediction sets in; ensemble, thresholds, submission and report out.
// Formats: docs/formats.md. Read next: find_sets.h, join.h, ensemble.h, scoring.h, submission.h,
// report.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "gather/outcome/gather_options.h"

namespace podium::gather {

struct GroupScore {
  std::string name;
  double score = 0;
  int64_t weight = 0;  // in the ensemble
};

struct GatherResult {
  std::string metric;                          // "map"
  double score = 0;                            // of the ensemble, out of fold
  double interval_low = 0, interval_high = 0;  // 95 % bootstrap
  double mean_over_folds = 0, stddev_over_folds = 0;
  double prior_score = 0;
  double baseline_score = 0;  // best baseline; NaN without one
  std::vector<GroupScore> groups;
  std::vector<std::filesystem::path> files;  // in output, in the order written
  // What a terminal shows: one line per group, ensemble, baseline and prior.
  std::string summary() const;
};

// Errors: UsageError for options that do not fit, DataError for sets and sample submissions that do
// not fit, IoError.
GatherResult gather(const GatherOptions& options);

}  // namespace podium::gather
