// The catalogue of metrics: what each name in metrics.jsonl, scores.json and summary.json means,
// and which direction is better. Evaluation and gather compute them; a name that is not here cannot
// be written, and a test finds a row that nobody writes. Read next: classification.h, ranking.h,
// segmentation.h; how to add one: CONTRIBUTING.md.
#pragma once

#include <string>
#include <vector>

#include "base/recipe/table.h"
#include "metrics/prediction_set.h"

namespace podium::metrics {

// `name` as scores.json has it; evaluation puts "val_" before it.
struct MetricRow : PartInfo {
  std::string title;  // for people: "mAP"
  bool is_higher_better = true;
  std::vector<PredictionTask> tasks;
  std::string unit = "0 to 1";
  bool is_evaluated = false;  // evaluation writes it, as "val_NAME"
  bool is_gathered = false;   // gather writes it, in scores.json
  std::string flag{};  // as gather's --metric takes it: "f1"; empty: gather does not search for it

  bool serves(PredictionTask task) const;
};

// In the order of preference: the first that a run has is what summaries sort by.
const Table<MetricRow>& metric_table();

// The key of a metric of the evaluation: "val_map". Errors: InternalError for a name that the
// catalogue does not give to evaluation.
std::string validation_key(const std::string& metric);
// The row of a key that a run writes ("val_map", "train_loss"); null when there is none.
const MetricRow* find_metric_of_key(const std::string& key);
// All keys that a run may write, validation first.
std::vector<std::string> metric_keys();

}  // namespace podium::metrics
