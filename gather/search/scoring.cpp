// Metric names, summaries over folds, bootstrap. The metrics themselves: scorers.cpp.
#include "gather/search/scoring.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/text.h"
#include "metrics/mean.h"

namespace podium::gather {
using metrics::PredictionTask;
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr uint8_t kIgnored = 255;

struct MetricFacts {
  Metric metric;
  const char* flag;
  const char* name;
  const char* title;
};
constexpr MetricFacts kMetrics[] = {
    {Metric::kMap, "map", "map", "mAP"},
    {Metric::kF1, "f1", "macro_f1", "macro F1"},
    {Metric::kAccuracy, "accuracy", "accuracy", "accuracy"},
    {Metric::kDiceGlobal, "dice", "dice_global", "Dice over all pixels"},
    {Metric::kDicePerImage, "dice_per_image", "dice_per_image", "mean Dice per image"},
    {Metric::kMiouPerImage, "miou", "mean_iou_per_image", "mean IoU per image"},
    {Metric::kMiouGlobal, "miou_global", "mean_iou_global", "mean IoU over all pixels"},
};

const MetricFacts& facts_of(Metric metric) {
  return *std::find_if(std::begin(kMetrics), std::end(kMetrics),
                       [&](const MetricFacts& facts) { return facts.metric == metric; });
}

// Fits the task; the first is the default.
std::vector<Metric> metrics_of(const Samples& samples) {
  if (samples.task == PredictionTask::kMultiLabel) {
    return {Metric::kMap, Metric::kF1};
  }
  if (samples.task == PredictionTask::kSingleLabel) {
    return {Metric::kAccuracy, Metric::kF1};
  }
  if (samples.is_binary_mask()) {
    return {Metric::kDiceGlobal, Metric::kDicePerImage, Metric::kMiouPerImage, Metric::kMiouGlobal};
  }
  return {Metric::kMiouPerImage, Metric::kMiouGlobal};
}

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

// Pixels or samples of each class, and how many are known. Multi-label classes are known
// separately.
struct ClassShares {
  std::vector<int64_t> positives, known;
};

ClassShares class_shares(const OofTable& table) {
  const bool is_one_class_mask =
      table.samples.task == PredictionTask::kSegmentation && table.samples.num_classes() == 1;
  const size_t num_classes = table.samples.num_classes();
  ClassShares shares{std::vector<int64_t>(num_classes, 0), std::vector<int64_t>(num_classes, 0)};
  for (size_t i = 0; i < table.targets.size(); ++i) {
    shares.positives[i % num_classes] += table.targets[i] > 0 ? 1 : 0;
    shares.known[i % num_classes] += table.targets[i] >= 0 ? 1 : 0;
  }
  int64_t num_known = 0;
  for (const int64_t target : table.class_targets) {
    if (target >= 0) {
      ++shares.positives[static_cast<size_t>(target)];
      ++num_known;
    }
  }
  for (const uint8_t target : table.mask_targets) {
    if (target != kIgnored) {
      ++num_known;
      if (!is_one_class_mask || target == 1) {
        ++shares.positives[is_one_class_mask ? 0 : target];
      }
    }
  }
  if (num_known > 0) {
    std::fill(shares.known.begin(), shares.known.end(), num_known);
  }
  return shares;
}

// All samples or pixels get one answer: the largest class (masks: the answer with the best score).
double constant_mask_score(Metric metric, const OofTable& table) {
  const size_t num_answers = table.samples.is_binary_mask() ? 2 : table.samples.num_classes();
  double best = kNan;
  for (size_t answer = 0; answer < num_answers; ++answer) {
    Values constant;
    const size_t num_classes = table.samples.num_classes();
    for (size_t n = 0; n < table.samples.num_samples(); ++n) {
      for (size_t k = 0; k < num_classes; ++k) {
        const bool is_high = num_classes == 1 ? answer == 1 : k == answer;
        constant.mask_probabilities.insert(constant.mask_probabilities.end(),
                                           table.samples.num_pixels(n), is_high ? 65535 : 0);
      }
    }
    Decision decision;
    decision.mask = MaskThreshold();
    const auto scorer = make_scorer(metric, table, constant, decision, 1);
    const double score = scorer->score(std::vector<uint16_t>(table.samples.num_samples(), 1));
    best = std::isnan(best) || score > best ? score : best;
  }
  return best;
}

}  // namespace

std::string metric_name(Metric metric) { return facts_of(metric).name; }
std::string metric_title(Metric metric) { return facts_of(metric).title; }

Metric parse_metric(const std::string& name, const Samples& samples) {
  const std::vector<Metric> fitting = metrics_of(samples);
  std::vector<std::string> flags;
  for (const Metric metric : fitting) {
    flags.emplace_back(facts_of(metric).flag);
    if (name == flags.back()) {
      return metric;
    }
  }
  if (name.empty()) {
    return fitting.front();
  }
  throw UsageError(
      fmt::format("--metric={}: does not fit {} predictions of {} classes; expected one of {}{}",
                  name, task_name(samples.task), samples.num_classes(), join(flags, ", "),
                  did_you_mean(name, flags)));
}

Decision fit_decision(const OofTable& table, const Values& values, ThresholdRule rule,
                      Metric metric, int num_threads) {
  Decision decision;
  if (table.samples.task == PredictionTask::kMultiLabel) {
    decision.classes = fit_class_thresholds(table, values, rule, num_threads);
  } else if (table.samples.is_binary_mask()) {
    decision.mask = fit_mask_threshold(
        table, values, metric == Metric::kDicePerImage ? DiceKind::kPerImage : DiceKind::kGlobal);
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

std::vector<double> class_priors(const OofTable& table) {
  const ClassShares shares = class_shares(table);
  std::vector<double> priors;
  for (size_t k = 0; k < shares.known.size(); ++k) {
    priors.push_back(shares.known[k] == 0 ? kNan
                                          : static_cast<double>(shares.positives[k]) /
                                                static_cast<double>(shares.known[k]));
  }
  return priors;
}

double prior_score(Metric metric, const OofTable& table) {
  if (table.samples.task == PredictionTask::kSegmentation) {
    return constant_mask_score(metric, table);
  }
  std::vector<double> priors = class_priors(table);
  if (metric == Metric::kMap) {
    std::replace(priors.begin(), priors.end(), 0.0, kNan);  // no positive: no average precision
    return metrics::mean_without_nan(priors);
  }
  if (metric == Metric::kAccuracy) {
    return *std::max_element(priors.begin(), priors.end());
  }
  if (table.samples.task ==
      PredictionTask::kSingleLabel) {  // F1 of the largest class, 0 for the others
    const double largest = *std::max_element(priors.begin(), priors.end());
    return 2 * largest / (1 + largest) / static_cast<double>(priors.size());
  }
  for (double& prior : priors) {  // multi-label F1: every sample is decided positive
    prior = 2 * prior / (1 + prior);
  }
  return metrics::mean_without_nan(priors);
}

}  // namespace podium::gather
