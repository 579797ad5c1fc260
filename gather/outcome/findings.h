// All that gather found out; the JSON files and the report are written from it. Read next:
// report.h.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gather/outcome/gather_options.h"
#include "gather/outcome/loss_curves.h"
#include "gather/search/ensemble_table.h"
#include "gather/search/scorer_table.h"
#include "gather/search/scoring.h"
#include "gather/sets/join.h"

namespace podium::gather {

struct ModelScore {
  std::string name;
  std::vector<InputFacts> inputs;
  ScoreSummary score;
  int64_t weight = 0;  // count in the ensemble
};

struct NamedScore {
  std::string name;  // "mean_iou_global"
  double value = 0;
};

struct GatherFindings {
  const ScorerRow* scorer = nullptr;    // of the metric that was searched for
  const EnsembleRow* method = nullptr;  // that chose the counts
  const ThresholdRow* threshold_rule = nullptr;
  FoldParts parts;
  std::vector<ModelScore> groups;     // as OofTable::groups
  std::vector<ModelScore> baselines;  // as the baseline table's groups
  size_t best_group = 0;
  std::vector<int64_t> counts;  // (M) of the ensemble
  std::optional<GreedySelection> greedy;
  Values ensemble;  // out of fold
  Decision decision;
  ScoreSummary score;        // of the ensemble
  ScoreSummary mean_of_all;  // equal weights, whatever the method
  Interval interval;
  int bootstrap_replicates = 0;
  std::vector<NamedScore> other_scores;  // of the ensemble by other metrics of the task
  std::vector<double> class_priors;      // (K)
  double prior_score = 0;
  std::vector<RunCurves> runs;
  std::vector<InputFacts> test_inputs;
  std::optional<SubmissionFacts> submission;

  // Index of the baseline with the highest score, or nullopt.
  std::optional<size_t> best_baseline() const;
};

// The three JSON documents. NaN is written as null.
std::string thresholds_json(const OofTable& table, const GatherFindings& findings);
std::string ensemble_json(const OofTable& table, const GatherFindings& findings);
std::string scores_json(const OofTable& table, const GatherFindings& findings);

}  // namespace podium::gather
