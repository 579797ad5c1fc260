// Summaries over folds, bootstrap. The metrics themselves: scorers.cpp.
#include "gather/search/scoring.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "base/rng.h"
#include "metrics/mean.h"

namespace podium::gather {
using metrics::PredictionTask;
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
double stddev_of(const std::vector<double>& values, double mean) {
  double sum = 0;
  int64_t count = 0;
  for (const double value : values) {
    if (!std::isnan(value)) {
      sum += (value - mean) * (value - mean);
      ++count;
    }
  }
  return count < 2 ? kNan : std::sqrt(sum / static_cast<double>(count - 1));
}

double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

Decision fit_decision(const OofTable& table, const Values& values, const ThresholdRow& rule,
                      DiceKind dice, int num_threads) {
  Decision decision;
  if (table.samples.task == PredictionTask::kMultiLabel) {
    decision.classes = fit_class_thresholds(table, values, rule, num_threads);
  } else if (table.samples.is_binary_mask()) {
    decision.mask = fit_mask_threshold(table, values, dice);
  }
  return decision;
}

double Scorer::score(std::span<const uint16_t> weights) const {
  return combine(weights, per_class(weights));
}

ScoreSummary summarise(const Scorer& scorer, const FoldParts& parts) {
  ScoreSummary summary;
  const std::vector<uint16_t> all(parts.part_of.size(), 1);
  summary.value = scorer.score(all);
  summary.per_class = scorer.per_class(all);
  for (size_t p = 0; p < parts.names.size(); ++p) {
    std::vector<uint16_t> weights(parts.part_of.size());
    std::transform(parts.part_of.begin(), parts.part_of.end(), weights.begin(), [&](int64_t part) {
      return static_cast<uint16_t>(part == static_cast<int64_t>(p));
    });
    summary.per_part.push_back(scorer.score(weights));
  }
  summary.mean = metrics::mean_without_nan(summary.per_part);
  summary.stddev = stddev_of(summary.per_part, summary.mean);
  return summary;
}

Interval bootstrap_interval(const Scorer& scorer, size_t num_samples, int num_replicates,
                            uint64_t seed, int num_threads) {
  std::vector<double> scores(static_cast<size_t>(num_replicates));
  parallel_for(num_replicates, num_threads, [&](int64_t replicate) {
    Rng rng(seed, RandomPurpose::kBootstrap, static_cast<uint64_t>(replicate));
    std::vector<uint16_t> weights(num_samples, 0);
    for (size_t draw = 0; draw < num_samples; ++draw) {
      ++weights[rng.below(num_samples)];
    }
    scores[static_cast<size_t>(replicate)] = scorer.score(weights);
  });
  std::erase_if(scores, [](double score) { return std::isnan(score); });
  if (scores.empty()) {
    return {kNan, kNan};
  }
  std::sort(scores.begin(), scores.end());
  return {quantile(scores, 0.025), quantile(scores, 0.975)};
}

}  // namespace podium::gather
