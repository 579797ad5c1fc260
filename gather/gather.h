// The stage after the trials: prediction sets in; ensemble, thresholds, submission and report out.
// Formats: docs/formats.md. Read next: find_sets.h, join.h, ensemble.h, scoring.h, submission.h,
// report.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/rle.h"
#include "gather/submit/submission.h"
#include "gather/search/thresholds.h"

namespace podium::gather {

enum class EnsembleMethod {
  kMean,    // every group once
  kBest,    // the best single group
  kGreedy,  // Caruana's selection with replacement
};
// Errors: UsageError lists the choices; `flag` names the origin.
EnsembleMethod parse_ensemble_method(const std::string& name);      // mean, best, greedy
SubmissionValues parse_submission_values(const std::string& name);  // probabilities, labels
RleOrder parse_rle_order(const std::string& name);                  // row, column
ThresholdRule parse_threshold_rule(const std::string& name);        // f1, youden
std::string method_name(EnsembleMethod method);

struct GatherOptions {
  std::vector<std::filesystem::path>
      oof;  // prediction sets, runs or sweeps with out-of-fold predictions
  std::vector<std::filesystem::path> test;  // the same groups on the test set; empty: no submission
  std::vector<std::filesystem::path>
      baselines;  // out-of-fold sets of reference models, shown as the line to beat
  std::vector<std::filesystem::path> runs;  // more run directories whose metrics.jsonl are plotted
  std::filesystem::path sample_submission;  // empty: no submission
  std::filesystem::path output;             // directory, written whole or not at all
  bool overwrite = false;                   // replace a non-empty output
  std::string metric;  // map, f1, accuracy, dice, miou, ...; empty: default of the task
  EnsembleMethod ensemble = EnsembleMethod::kMean;
  int greedy_rounds = 25;  // additions tried by kGreedy
  ThresholdRule threshold_rule = ThresholdRule::kF1;
  SubmissionValues submission_values = SubmissionValues::kProbabilities;
  RleOrder rle_order = RleOrder::kRowMajor;
  int bootstrap_replicates = 200;  // for the interval of the ensemble's score
  uint64_t seed = 0;               // of the bootstrap
  int num_threads = 0;             // 0: all available cores
  std::string title = "Podium report";
  std::string command;  // command line shown in the report; may be empty
};

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
