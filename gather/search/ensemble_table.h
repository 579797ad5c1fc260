// The ensemble searches that --ensemble names: how often each model counts in the mean. Read next:
// ensemble.h (the mean itself).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/recipe/table.h"
#include "gather/search/ensemble.h"

namespace podium::gather {

// What a search may ask.
struct EnsembleSearch {
  size_t num_models = 0;  // M
  size_t best_model = 0;  // by its score alone
  // Rates the ensemble of some counts (M), not all 0; higher is better.
  std::function<double(const std::vector<int64_t>& counts)> score;
};

struct EnsembleChoice {
  std::vector<int64_t> counts;  // (M)
  std::optional<GreedySelection> greedy;
};

struct EnsembleRow : PartInfo {
  // `keys`: the values of its own keys.
  EnsembleChoice (*create)(const EnsembleSearch& search, const PartSpec& keys) = nullptr;
};

const Table<EnsembleRow>& ensemble_table();

// The `create` of mean (ensemble_mean.cpp), best (ensemble_best.cpp), greedy (ensemble_greedy.cpp).
EnsembleChoice choose_all(const EnsembleSearch& search, const PartSpec& keys);
EnsembleChoice choose_best(const EnsembleSearch& search, const PartSpec& keys);
EnsembleChoice choose_greedily(const EnsembleSearch& search, const PartSpec& keys);

}  // namespace podium::gather
