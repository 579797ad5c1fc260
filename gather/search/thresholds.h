// Exact threshold search on out-of-fold predictions, in sample and nested. Read next:
// threshold_table.h (what a threshold maximises), scoring.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gather/search/threshold_table.h"
#include "gather/sets/join.h"

namespace podium::gather {

// The parts that nested estimates leave out in turn: the validation folds, or, when there is only
// one, five parts by key hash.
struct FoldParts {
  std::vector<int64_t> part_of;    // (N) index into names
  std::vector<std::string> names;  // "fold 0" or "part 0"
  bool are_dealt = false;          // by key hash
};
FoldParts fold_parts(const OofTable& table);

// Per-class thresholds of a multi-label ensemble and what they are worth.
struct ClassThresholds {
  std::vector<double> thresholds;                    // (K) fitted on all out-of-fold predictions
  std::vector<std::vector<double>> part_thresholds;  // (P, K) fitted without part p
  std::vector<double> f1_in_sample, f1_nested, f1_at_half;  // (K)
  double macro_f1_in_sample = 0;
  double macro_f1_nested =
      0;  // each part decided by thresholds fitted on the others: the honest estimate
  double macro_f1_at_half = 0;  // at 0.5 everywhere
};
ClassThresholds fit_class_thresholds(const OofTable& table, const Values& values,
                                     const ThresholdRow& rule, int num_threads);

// Foreground probabilities of sample n of a binary-mask table.
std::span<const uint16_t> foreground(const Samples& samples, const Values& values, size_t n);

enum class DiceKind { kGlobal, kPerImage };
// One global threshold of a binary mask, searched over all 65,536 levels. A pixel is foreground
// when its level is >= `level`.
struct MaskThreshold {
  int level = 32768;
  double threshold = 0.5;                                               // level / 65535
  double dice_in_sample = 0, dice_nested = 0, dice_at_half = 0;         // of the searched kind
  std::vector<double> part_thresholds;                                  // (P) fitted without part p
  std::vector<double> curve_thresholds, curve_global, curve_per_image;  // 101 points, for plots
};
MaskThreshold fit_mask_threshold(const OofTable& table, const Values& values, DiceKind kind);

}  // namespace podium::gather
