// What `podium gather` is told. Read next: findings.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/recipe/part.h"
#include "base/rle.h"
#include "gather/submit/submission.h"

namespace podium::gather {

// Errors: UsageError lists the choices.
SubmissionValues parse_submission_values(const std::string& name);  // probabilities, labels
RleOrder parse_rle_order(const std::string& name);                  // row, column

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
  std::string metric;             // map, f1, accuracy, dice, miou, ...; empty: default of the task
  PartSpec ensemble{"mean", {}};  // of ensemble_table(); keys that are not given have defaults
  std::string threshold_rule = "f1";  // of threshold_table()
  SubmissionValues submission_values = SubmissionValues::kProbabilities;
  RleOrder rle_order = RleOrder::kRowMajor;
  int bootstrap_replicates = 200;  // for the interval of the ensemble's score
  uint64_t seed = 0;               // of the bootstrap
  int num_threads = 0;             // 0: all available cores
  std::string title = "Podium report";
  std::string command;  // command line shown in the report; may be empty
};

}  // namespace podium::gather
