// What `podium gather` is told. Read next: outcome.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/rle.h"
#include "gather/search/thresholds.h"
#include "gather/submit/submission.h"

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

}  // namespace podium::gather
