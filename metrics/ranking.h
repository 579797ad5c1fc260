// The ranking of one class: how many positives lie above each distinct score. Average precision,
// ROC and threshold search all read it. Read next: classification.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace podium::metrics {

// Indices of the scores in descending order, lower index first on ties; -0 and +0 are equal.
// Complexity: O(N), a radix sort. Errors: DataError names the index of a NaN.
std::vector<uint32_t> descending_order(std::span<const float> scores);

// Entries with a score >= `score`, where `score` is one of the distinct scores.
struct RankPoint {
  float score = 0;
  int64_t true_positives = 0;
  int64_t predicted = 0;  // true and false positives
};

// One point per distinct score, descending. Entries with a target < 0 (unknown) are left out.
struct RankingCurve {
  std::vector<RankPoint> points;
  int64_t positives = 0;
  int64_t known = 0;  // positives and negatives
};
// Shapes: scores (N), targets (N) in {0, 1, -1}. Errors: DataError when the lengths differ or a
// score is NaN.
RankingCurve ranking_curve(std::span<const float> scores, std::span<const float> targets);

// See average_precision in classification.h.
double average_precision(const RankingCurve& curve);
// Area under the ROC curve by the trapezoid rule (ties count half); NaN without a positive or
// without a negative.
double roc_auc(const RankingCurve& curve);

// (N, K) row-major -> (K, N) row-major.
std::vector<float> transpose(std::span<const float> values, int64_t num_columns);

}  // namespace podium::metrics
