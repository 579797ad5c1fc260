// Metrics of classifiers. Sums of counts are exact integers; only the last division rounds.
#include "metrics/classification.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "metrics/mean.h"
#include "metrics/ranking.h"

namespace podium::metrics {
namespace {

void require_rows(size_t num_values, int64_t num_classes, size_t num_targets,
                  size_t values_per_target) {
  if (num_classes <= 0 || num_values % static_cast<size_t>(num_classes) != 0 ||
      num_targets * values_per_target != num_values) {
    throw DataError(fmt::format("{} probabilities and {} targets do not fit {} classes", num_values,
                                num_targets, num_classes));
  }
}

double ratio(int64_t numerator, int64_t denominator) {
  return denominator == 0 ? 0.0 : static_cast<double>(numerator) / static_cast<double>(denominator);
}

}  // namespace

double average_precision(std::span<const float> scores, std::span<const float> targets) {
  return average_precision(ranking_curve(scores, targets));
}

MeanAveragePrecision mean_average_precision(std::span<const float> probabilities,
                                            std::span<const float> targets, int64_t num_classes) {
  require_rows(probabilities.size(), num_classes, targets.size(), 1);
  const std::vector<float> score_columns = transpose(probabilities, num_classes);
  const std::vector<float> target_columns = transpose(targets, num_classes);
  const size_t num_samples = probabilities.size() / static_cast<size_t>(num_classes);
  MeanAveragePrecision result;
  for (size_t k = 0; k < static_cast<size_t>(num_classes); ++k) {
    result.per_class.push_back(
        average_precision(std::span(score_columns).subspan(k * num_samples, num_samples),
                          std::span(target_columns).subspan(k * num_samples, num_samples)));
  }
  result.mean = mean_without_nan(result.per_class);
  return result;
}

std::vector<int64_t> argmax_per_sample(std::span<const float> probabilities, int64_t num_classes) {
  require_rows(probabilities.size(), num_classes, probabilities.size(), 1);
  const auto classes = static_cast<size_t>(num_classes);
  std::vector<int64_t> result(probabilities.size() / classes);
  for (size_t n = 0; n < result.size(); ++n) {
    const auto row = probabilities.subspan(n * classes, classes);
    result[n] = std::max_element(row.begin(), row.end()) - row.begin();
  }
  return result;
}

double accuracy(std::span<const float> probabilities, std::span<const int64_t> targets,
                int64_t num_classes) {
  require_rows(probabilities.size(), num_classes, targets.size(), static_cast<size_t>(num_classes));
  const std::vector<int64_t> predictions = argmax_per_sample(probabilities, num_classes);
  int64_t num_known = 0;
  int64_t num_correct = 0;
  for (size_t n = 0; n < targets.size(); ++n) {
    num_known += targets[n] >= 0 ? 1 : 0;
    num_correct += targets[n] >= 0 && targets[n] == predictions[n] ? 1 : 0;
  }
  return num_known == 0 ? std::numeric_limits<double>::quiet_NaN() : ratio(num_correct, num_known);
}

double Counts::f1() const {
  return ratio(2 * true_positives, 2 * true_positives + false_positives + false_negatives);
}

std::vector<int64_t> confusion_matrix(std::span<const int64_t> predictions,
                                      std::span<const int64_t> targets, int64_t num_classes) {
  if (predictions.size() != targets.size()) {
    throw DataError(fmt::format("{} predictions but {} targets; expected equal numbers",
                                predictions.size(), targets.size()));
  }
  std::vector<int64_t> counts(static_cast<size_t>(num_classes * num_classes), 0);
  for (size_t n = 0; n < targets.size(); ++n) {
    if (targets[n] < 0) {
      continue;
    }
    if (targets[n] >= num_classes || predictions[n] < 0 || predictions[n] >= num_classes) {
      throw DataError(fmt::format("sample {}: target {} and prediction {} must be below {} classes",
                                  n, targets[n], predictions[n], num_classes));
    }
    ++counts[static_cast<size_t>(targets[n] * num_classes + predictions[n])];
  }
  return counts;
}

double macro_f1_of(std::span<const int64_t> confusion, int64_t num_classes) {
  double sum = 0;
  for (int64_t k = 0; k < num_classes; ++k) {
    Counts counts;
    counts.true_positives = confusion[static_cast<size_t>(k * num_classes + k)];
    for (int64_t j = 0; j < num_classes; ++j) {
      if (j != k) {
        counts.false_negatives += confusion[static_cast<size_t>(k * num_classes + j)];
        counts.false_positives += confusion[static_cast<size_t>(j * num_classes + k)];
      }
    }
    sum += counts.f1();
  }
  return sum / static_cast<double>(num_classes);
}

double macro_f1(std::span<const float> probabilities, std::span<const int64_t> targets,
                int64_t num_classes) {
  require_rows(probabilities.size(), num_classes, targets.size(), static_cast<size_t>(num_classes));
  return macro_f1_of(
      confusion_matrix(argmax_per_sample(probabilities, num_classes), targets, num_classes),
      num_classes);
}

std::vector<Counts> counts_at(std::span<const float> probabilities, std::span<const float> targets,
                              std::span<const double> thresholds) {
  require_rows(probabilities.size(), static_cast<int64_t>(thresholds.size()), targets.size(), 1);
  std::vector<Counts> counts(thresholds.size());
  for (size_t i = 0; i < probabilities.size(); ++i) {
    if (targets[i] < 0) {
      continue;
    }
    const size_t k = i % thresholds.size();
    const bool is_predicted = static_cast<double>(probabilities[i]) >= thresholds[k];
    if (targets[i] > 0) {
      ++(is_predicted ? counts[k].true_positives : counts[k].false_negatives);
    } else {
      ++(is_predicted ? counts[k].false_positives : counts[k].true_negatives);
    }
  }
  return counts;
}

double macro_f1_at(std::span<const float> probabilities, std::span<const float> targets,
                   std::span<const double> thresholds) {
  double sum = 0;
  for (const Counts& counts : counts_at(probabilities, targets, thresholds)) {
    sum += counts.f1();
  }
  return sum / static_cast<double>(thresholds.size());
}

}  // namespace podium::metrics
