// Per-class thresholds by one pass over the ranking. Read next: mask_threshold.cpp.
#include "gather/search/thresholds.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "base/hash.h"
#include "base/parallel.h"
#include "metrics/classification.h"

namespace podium::gather {
namespace {

constexpr double kDefaultThreshold = 0.5;
constexpr int64_t kDealtParts = 5;

// Scores and targets of one class, only of the samples outside (or inside) a part.
struct Column {
  std::vector<float> scores, targets;
};

Column column_without(std::span<const float> scores, std::span<const float> targets,
                      const std::vector<int64_t>& part_of, int64_t part) {
  Column column;
  for (size_t n = 0; n < scores.size(); ++n) {
    if (part_of[n] != part) {
      column.scores.push_back(scores[n]);
      column.targets.push_back(targets[n]);
    }
  }
  return column;
}

double f1_of(std::span<const float> scores, std::span<const float> targets,
             const std::function<double(size_t)>& threshold) {
  metrics::Counts counts;
  for (size_t n = 0; n < scores.size(); ++n) {
    if (targets[n] < 0) {
      continue;
    }
    const bool is_predicted = static_cast<double>(scores[n]) >= threshold(n);
    counts.true_positives += targets[n] > 0 && is_predicted ? 1 : 0;
    counts.false_negatives += targets[n] > 0 && !is_predicted ? 1 : 0;
    counts.false_positives += targets[n] <= 0 && is_predicted ? 1 : 0;
  }
  return counts.f1();
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

FoldParts fold_parts(const OofTable& table) {
  FoldParts parts;
  const std::set<int64_t> folds(table.folds.begin(), table.folds.end());
  if (folds.size() > 1) {
    for (const int64_t fold : folds) {
      parts.names.push_back(fmt::format("fold {}", fold));
    }
    for (const int64_t fold : table.folds) {
      parts.part_of.push_back(std::distance(folds.begin(), folds.find(fold)));
    }
    return parts;
  }
  parts.are_dealt = true;
  for (int64_t part = 0; part < kDealtParts; ++part) {
    parts.names.push_back(fmt::format("part {}", part));
  }
  for (const std::string& key : table.samples.keys) {
    parts.part_of.push_back(static_cast<int64_t>(xxh3_64(key) % kDealtParts));
  }
  return parts;
}

ClassThresholds fit_class_thresholds(const OofTable& table, const Values& values,
                                     const ThresholdRow& rule, int num_threads) {
  const FoldParts parts = fold_parts(table);
  const size_t num_classes = table.samples.num_classes();
  const size_t num_samples = table.samples.num_samples();
  const std::vector<float> score_columns =
      metrics::transpose(values.probabilities, static_cast<int64_t>(num_classes));
  const std::vector<float> target_columns =
      metrics::transpose(table.targets, static_cast<int64_t>(num_classes));
  ClassThresholds result;
  result.thresholds.resize(num_classes);
  result.part_thresholds.assign(parts.names.size(), std::vector<double>(num_classes));
  result.f1_in_sample.resize(num_classes);
  result.f1_nested.resize(num_classes);
  result.f1_at_half.resize(num_classes);
  parallel_for(static_cast<int64_t>(num_classes), num_threads, [&](int64_t index) {
    const auto k = static_cast<size_t>(index);
    const auto scores = std::span(score_columns).subspan(k * num_samples, num_samples);
    const auto targets = std::span(target_columns).subspan(k * num_samples, num_samples);
    const double threshold = best_threshold(metrics::ranking_curve(scores, targets), rule);
    result.thresholds[k] = threshold;
    for (size_t p = 0; p < parts.names.size(); ++p) {
      const Column others = column_without(scores, targets, parts.part_of, static_cast<int64_t>(p));
      result.part_thresholds[p][k] =
          best_threshold(metrics::ranking_curve(others.scores, others.targets), rule);
    }
    result.f1_in_sample[k] = f1_of(scores, targets, [&](size_t) { return threshold; });
    result.f1_at_half[k] = f1_of(scores, targets, [&](size_t) { return kDefaultThreshold; });
    result.f1_nested[k] = f1_of(scores, targets, [&](size_t n) {
      return result.part_thresholds[static_cast<size_t>(parts.part_of[n])][k];
    });
  });
  result.macro_f1_in_sample = mean(result.f1_in_sample);
  result.macro_f1_nested = mean(result.f1_nested);
  result.macro_f1_at_half = mean(result.f1_at_half);
  return result;
}

}  // namespace podium::gather
