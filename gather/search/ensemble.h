// Ensembles: weighted means of probabilities, and greedy selection with replacement. Read next:
// scoring.h.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "gather/sets/join.h"

namespace podium::gather {

// sum_m counts[m] * group m / sum(counts), summed in double in group order and rounded once to
// float (masks: exact integers, rounded half up). One function serves mean, best and greedy, search
// and submission, so that what was scored is what is written. Requires: one count per group, not
// all 0.
Values weighted_mean(const std::vector<GroupPredictions>& groups,
                     const std::vector<int64_t>& counts, int num_threads);

struct GreedyStep {
  size_t model = 0;  // added in this round
  double score = 0;  // of the ensemble after it
};

struct GreedySelection {
  std::vector<int64_t> counts;    // (M) of the best prefix of steps
  std::vector<GreedyStep> steps;  // all rounds
  size_t num_used = 0;            // length of the best prefix, the shortest on ties
};

// Caruana's selection with replacement: in each round the model whose addition gives the best mean
// joins; the best prefix wins. `score` rates the ensemble of some counts (higher is better; NaN
// counts as worst). Ties (relative 1e-12) go to the lowest model index. Requires: num_models > 0,
// num_rounds > 0. Source: Caruana et al., ICML 2004, section 2. Complexity: num_models * num_rounds
// calls of `score`.
GreedySelection select_greedily(size_t num_models, int num_rounds,
                                const std::function<double(const std::vector<int64_t>&)>& score);

}  // namespace podium::gather
