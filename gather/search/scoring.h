// Scores of out-of-fold predictions under sample weights: all samples, one fold, or a bootstrap
// replicate. Read next: gather.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gather/sets/join.h"
#include "gather/search/thresholds.h"

namespace podium::gather {

enum class Metric {
  kMap,       // multi-label: mean average precision over the classes that have a positive
  kF1,        // macro F1: multi-label at per-class thresholds, single label of the decided classes
  kAccuracy,  // single label
  kDiceGlobal,    // binary masks: over all pixels of all images
  kDicePerImage,  // binary masks: mean over images
  kMiouPerImage,  // masks: mean over images of each image's mean IoU
  kMiouGlobal,    // masks: mean IoU of one histogram over all images
};
std::string metric_name(
    Metric metric);  // "map", "macro_f1", "accuracy", "dice_global", ...: the key in scores.json
std::string metric_title(Metric metric);  // for people: "mAP", "macro F1"

// `name`: map, f1, accuracy, dice (= dice_global), dice_per_image, miou (= mean_iou_per_image),
// miou_global, or "" for the default of the task: map, accuracy, dice for binary masks, miou.
// Errors: UsageError lists what fits the task.
Metric parse_metric(const std::string& name, const Samples& samples);

// Thresholds by which probabilities become decisions; which are set depends on the task.
struct Decision {
  std::optional<ClassThresholds> classes;  // multi-label
  std::optional<MaskThreshold> mask;       // binary masks
};
// Fits what the task needs, on out-of-fold predictions.
Decision fit_decision(const OofTable& table, const Values& values, ThresholdRule rule,
                      Metric metric, int num_threads);

// Class of each pixel by the largest probability (lowest class on ties), or by the level for binary
// masks (0 background, 1 foreground). Concatenated (H_n, W_n).
std::vector<uint8_t> decide_masks(const Samples& samples, const Values& values, int level);

// One metric, prepared so that many weightings of the samples are cheap.
class Scorer {
 public:
  virtual ~Scorer() = default;
  // Shapes: weights (N), how often each sample counts. NaN when nothing is left to score.
  double score(std::span<const uint16_t> weights) const;
  // (K), NaN where undefined; empty for metrics without a value per class.
  virtual std::vector<double> per_class(std::span<const uint16_t> weights) const = 0;

 protected:
  virtual double combine(std::span<const uint16_t> weights,
                         const std::vector<double>& per_class) const = 0;
};
// `decision` may be empty unless the metric decides by thresholds (f1 of multi-label, masks).
std::unique_ptr<Scorer> make_scorer(Metric metric, const OofTable& table, const Values& values,
                                    const Decision& decision, int num_threads);

struct ScoreSummary {
  double value = 0;               // on all samples
  std::vector<double> per_part;   // on each fold alone
  double mean = 0, stddev = 0;    // over the parts; stddev with n - 1, NaN for one part
  std::vector<double> per_class;  // (K)
};
ScoreSummary summarise(const Scorer& scorer, const FoldParts& parts);

// 2.5 % and 97.5 % quantiles (linear interpolation) of the score over replicates that draw N
// samples with replacement. Random: kBootstrap, a = replicate; the same for any number of threads.
struct Interval {
  double low = 0, high = 0;
};
Interval bootstrap_interval(const Scorer& scorer, size_t num_samples, int num_replicates,
                            uint64_t seed, int num_threads);

// The score of always giving the class frequencies: mean prevalence (map), the largest class
// (accuracy), the best constant answer (masks). What a model that has learnt nothing reaches.
double prior_score(Metric metric, const OofTable& table);
// Share of positives among the known samples (or pixels) of each class: the average precision of a
// random ranking. (K)
std::vector<double> class_priors(const OofTable& table);

}  // namespace podium::gather
