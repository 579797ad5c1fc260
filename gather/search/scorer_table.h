// The metrics that gather can search for. Their names, titles, tasks and directions stand in the
// catalogue (metrics/metric_table.h). Read next: scoring.h, scorers.cpp.
#pragma once

#include <memory>
#include <string>

#include "base/recipe/table.h"
#include "gather/search/thresholds.h"
#include "metrics/metric_table.h"

namespace podium::gather {

struct Decision;
class Scorer;

// `name` is that of the catalogue.
struct ScorerRow : PartInfo {
  std::string class_title;            // of its value per class, "IoU"
  bool is_of_binary_masks = false;    // masks: only with one foreground class
  bool is_decided = false;            // of decisions by thresholds, where the task has thresholds
  DiceKind dice = DiceKind::kGlobal;  // what a threshold of binary masks maximises
  // Requires: a decision by thresholds where is_decided.
  std::unique_ptr<Scorer> (*create)(const OofTable& table, const Values& values,
                                    const Decision& decision, int num_threads) = nullptr;
  double (*prior)(const ScorerRow& row, const OofTable& table) = nullptr;  // priors.h

  const metrics::MetricRow& metric() const { return metrics::metric_table().at(name); }
  bool fits(const Samples& samples) const;
};

// For a task, the first that fits is its default.
const Table<ScorerRow>& scorer_table();
// In the order of the table.
std::vector<const ScorerRow*> scorers_of(const Samples& samples);
// `flag` as the catalogue has it ("f1"), or "" for the default of the task: map, accuracy, dice for
// binary masks, miou. Errors: UsageError lists what fits the task.
const ScorerRow& choose_scorer(const std::string& flag, const Samples& samples);

// The `create` of the rows (scorers.cpp).
using ScorerPointer = std::unique_ptr<Scorer>;
ScorerPointer make_map(const OofTable&, const Values&, const Decision&, int num_threads);
ScorerPointer make_accuracy(const OofTable&, const Values&, const Decision&, int num_threads);
ScorerPointer make_macro_f1(const OofTable&, const Values&, const Decision&, int num_threads);
ScorerPointer make_dice_global(const OofTable&, const Values&, const Decision&, int num_threads);
ScorerPointer make_dice_per_image(const OofTable&, const Values&, const Decision&, int num_threads);
ScorerPointer make_mean_iou_per_image(const OofTable&, const Values&, const Decision&,
                                      int num_threads);
ScorerPointer make_mean_iou_global(const OofTable&, const Values&, const Decision&,
                                   int num_threads);

}  // namespace podium::gather
