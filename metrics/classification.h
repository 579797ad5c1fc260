// Metrics of classifiers, in double precision. Read next: ranking.h (curves), segmentation.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace podium::metrics {

// Average precision: sum over distinct scores of (R_n - R_{n-1}) * P_n, ties grouped; equal to
// scikit-learn's average_precision_score. Entries with a target < 0 (unknown) are left out. NaN
// without a positive. Shapes: scores (N), targets (N) in {0, 1, -1}.
double average_precision(std::span<const float> scores, std::span<const float> targets);

struct MeanAveragePrecision {
  double mean = 0;                // over the classes that have a positive
  std::vector<double> per_class;  // (K), NaN without a positive
};
// Shapes: probabilities and targets (N, K) row-major.
MeanAveragePrecision mean_average_precision(std::span<const float> probabilities,
                                            std::span<const float> targets, int64_t num_classes);

// Fraction of samples whose largest probability (lowest index on ties) is the target. Samples with
// target < 0 are left out.
double accuracy(std::span<const float> probabilities, std::span<const int64_t> targets,
                int64_t num_classes);

// F1 = 2 TP / (2 TP + FP + FN), 0 when the denominator is 0.
struct Counts {
  int64_t true_positives = 0, false_positives = 0, false_negatives = 0, true_negatives = 0;
  double f1() const;
};
// Mean of the per-class F1 of decided classes (single label), as scikit-learn's
// f1_score(average="macro") over all K classes.
double macro_f1(std::span<const float> probabilities, std::span<const int64_t> targets,
                int64_t num_classes);
// Mean of the per-class F1 at one threshold per class (probability >= threshold is positive);
// unknown targets are left out.
double macro_f1_at(std::span<const float> probabilities, std::span<const float> targets,
                   std::span<const double> thresholds);

// Counts of each class at one threshold per class (probability >= threshold is positive); unknown
// targets are left out. Shapes: probabilities and targets (N, K) row-major, thresholds (K). Returns
// (K).
std::vector<Counts> counts_at(std::span<const float> probabilities, std::span<const float> targets,
                              std::span<const double> thresholds);

// Index of the largest probability of each sample, lowest index on ties. Shapes: (N, K) -> (N).
std::vector<int64_t> argmax_per_sample(std::span<const float> probabilities, int64_t num_classes);
// counts[target * K + prediction] in samples; samples with target < 0 are left out.
// Errors: DataError when lengths differ or a target is >= K.
std::vector<int64_t> confusion_matrix(std::span<const int64_t> predictions,
                                      std::span<const int64_t> targets, int64_t num_classes);
// Mean of the per-class F1 of a confusion matrix (K, K).
double macro_f1_of(std::span<const int64_t> confusion, int64_t num_classes);

}  // namespace podium::metrics
