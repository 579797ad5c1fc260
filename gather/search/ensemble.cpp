// Ensembles.
#include "gather/search/ensemble.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/parallel.h"

namespace podium::gather {
namespace {

constexpr double kTieTolerance = 1e-12;  // relative

// a > b by more than rounding.
bool is_better(double a, double b) {
  return std::isinf(b) ? a > b : a - b > kTieTolerance * std::max(std::abs(a), std::abs(b));
}

}  // namespace

Values weighted_mean(const std::vector<GroupPredictions>& groups,
                     const std::vector<int64_t>& counts, int num_threads) {
  const int64_t total = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  if (counts.size() != groups.size() || total <= 0) {
    throw InternalError("an ensemble needs one count per group and one that is not 0");
  }
  Values mean;
  mean.probabilities.resize(groups.front().values.probabilities.size());
  mean.mask_probabilities.resize(groups.front().values.mask_probabilities.size());
  constexpr size_t kChunk = 1 << 14;
  const size_t num_values = std::max(mean.probabilities.size(), mean.mask_probabilities.size());
  const auto num_chunks = static_cast<int64_t>((num_values + kChunk - 1) / kChunk);
  parallel_for(num_chunks, num_threads, [&](int64_t chunk) {
    const size_t first = static_cast<size_t>(chunk) * kChunk;
    const size_t last = std::min(first + kChunk, num_values);
    for (size_t i = first; i < last; ++i) {
      if (mean.probabilities.empty()) {
        int64_t sum = 0;
        for (size_t m = 0; m < groups.size(); ++m) {
          sum += counts[m] * groups[m].values.mask_probabilities[i];
        }
        mean.mask_probabilities[i] = static_cast<uint16_t>((sum + total / 2) / total);
        continue;
      }
      double sum = 0;
      for (size_t m = 0; m < groups.size(); ++m) {
        sum +=
            static_cast<double>(counts[m]) * static_cast<double>(groups[m].values.probabilities[i]);
      }
      mean.probabilities[i] = static_cast<float>(sum / static_cast<double>(total));
    }
  });
  return mean;
}

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

}  // namespace podium::gather
