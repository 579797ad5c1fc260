// Division of units into folds with even label counts, on plain counts. Read next: splits.h.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace podium::data_shards {

// N units that must not be divided: a sample, or all samples of a group.
struct StratifyInput {
  int64_t num_classes = 0;
  std::vector<int64_t> sizes;  // (N) samples in each unit
  // (N) classes that occur in the unit, ascending, with the number of its samples that are
  // positive.
  std::vector<std::vector<std::pair<int32_t, int64_t>>> positives;

  void add_unit(int64_t size, std::vector<std::pair<int32_t, int64_t>> unit_positives) {
    sizes.push_back(size);
    positives.push_back(std::move(unit_positives));
  }
  int64_t num_units() const { return static_cast<int64_t>(sizes.size()); }
  int64_t num_samples() const;
  std::vector<int64_t> class_totals() const;  // (K)
};

// Iterative stratification: the label with the fewest samples left is dealt out first, each unit to
// the fold that wants the label most. Returns the fold of each unit; fold j gets about ratios[j] of
// all samples and of each label's. Source:  Sechidis, Tsoumakas, Vlahavas, "On the stratification
// of multi-label data", ECML PKDD 2011, algorithm 1. Differs: units of several samples, large ones
// first; ties by a counter-based key. Random:  kSplit, keyed by the seed; independent of the order
// of labels' processing.
std::vector<int32_t> iterative_stratification(const StratifyInput& input,
                                              const std::vector<double>& ratios, uint64_t seed);

// Fold 0 (validation) or 1 (train) of each unit: of `num_tries` random splits the one with the
// smallest ratio_spread, the earliest of equals.
std::vector<int32_t> best_random_split(const StratifyInput& input, double val_fraction,
                                       int64_t num_tries, uint64_t seed);

// Sigma over the classes of 100 (positives / samples outside - positives / samples inside), ddof 0,
// in percentage points.
double ratio_spread(const std::vector<int64_t>& inside, int64_t num_inside,
                    const std::vector<int64_t>& totals, int64_t num_samples);

// Mean over labels and folds of |share of the fold's samples with the label - share of all
// samples|, 0 (even) to 1. Source: LD of the same paper (section 4.2). Differs: shares instead of
// odds, which have no bound where every sample has the label.
double label_distribution(const std::vector<std::vector<int64_t>>& counts,
                          const std::vector<int64_t>& fold_sizes,
                          const std::vector<int64_t>& totals, int64_t num_samples);

}  // namespace podium::data_shards
