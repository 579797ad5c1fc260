// Scores of out-of-fold predictions under sample weights: all samples, one fold, or a bootstrap
// replicate. Read next: scorer_table.h (which there are), priors.h, gather.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "gather/search/threshold_table.h"
#include "gather/search/thresholds.h"
#include "gather/sets/join.h"

namespace podium::gather {

// Thresholds by which probabilities become decisions; which are set depends on the task.
struct Decision {
  std::optional<ClassThresholds> classes;  // multi-label
  std::optional<MaskThreshold> mask;       // binary masks
};
// Fits what the task needs, on out-of-fold predictions; `dice`: what the threshold of binary masks
// maximises.
Decision fit_decision(const OofTable& table, const Values& values, const ThresholdRow& rule,
                      DiceKind dice, int num_threads);

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

}  // namespace podium::gather
