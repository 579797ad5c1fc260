// greedy: models are added one after another, any of them several times.
#include <algorithm>
#include <cmath>
#include <limits>

#include "gather/search/ensemble.h"
#include "gather/search/ensemble_table.h"

namespace podium::gather {
namespace {

constexpr double kTieTolerance = 1e-12;  // relative

// a > b by more than rounding.
bool is_better(double a, double b) {
  return std::isinf(b) ? a > b : a - b > kTieTolerance * std::max(std::abs(a), std::abs(b));
}

}  // namespace

GreedySelection select_greedily(size_t num_models, int num_rounds,
                                const std::function<double(const std::vector<int64_t>&)>& score) {
  constexpr double kWorst = -std::numeric_limits<double>::infinity();
  GreedySelection selection;
  std::vector<int64_t> counts(num_models, 0);
  double best_score = kWorst;
  for (int round = 0; round < num_rounds; ++round) {
    GreedyStep step{0, kWorst};
    for (size_t m = 0; m < num_models; ++m) {
      ++counts[m];
      const double value = score(counts);
      --counts[m];
      if (!std::isnan(value) && is_better(value, step.score)) {
        step = {m, value};
      }
    }
    ++counts[step.model];
    selection.steps.push_back(step);
    if (selection.counts.empty() || is_better(step.score, best_score)) {
      best_score = step.score;
      selection.counts = counts;
      selection.num_used = selection.steps.size();
    }
  }
  return selection;
}

EnsembleChoice choose_greedily(const EnsembleSearch& search, const PartSpec& keys) {
  const int num_rounds = static_cast<int>(keys.get_int("greedy_rounds"));
  GreedySelection selection = select_greedily(search.num_models, num_rounds, search.score);
  std::vector<int64_t> counts = selection.counts;
  return {std::move(counts), std::move(selection)};
}

}  // namespace podium::gather
