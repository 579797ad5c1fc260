// The rules that --thresholds names: what a class's threshold maximises. Read next: thresholds.h.
#pragma once

#include <cstdint>

#include "base/recipe/table.h"
#include "metrics/ranking.h"

namespace podium::gather {

// numerator / denominator of a rule at a cut, as exact integers.
struct Fraction {
  int64_t numerator = 0;
  int64_t denominator = 1;
  // Sign of this - other; products stay below 2^63 for up to 10^9 samples.
  int compare(const Fraction& other) const;
};

struct ThresholdRow : PartInfo {
  bool needs_negatives = false;  // a class without a negative keeps 0.5
  // The value of the cut below a point of the curve.
  Fraction (*value_at)(const metrics::RankingCurve& curve,
                       const metrics::RankPoint& point) = nullptr;
};

const Table<ThresholdRow>& threshold_table();

// The cut (positive when p >= threshold) that maximises the rule over all cuts: below each distinct
// score, at the midpoint to the next lower one (to 0 for the lowest). Compared as exact fractions
// of counts; ties go to the cut nearest 0.5, then to the lower one. 0.5 for a class without a
// positive, or, where the rule needs them, without a negative.
double best_threshold(const metrics::RankingCurve& curve, const ThresholdRow& rule);

// The `value_at` of the rules f1 (threshold_f1.cpp) and youden (threshold_youden.cpp).
Fraction f1_fraction(const metrics::RankingCurve& curve, const metrics::RankPoint& point);
Fraction youden_fraction(const metrics::RankingCurve& curve, const metrics::RankPoint& point);

}  // namespace podium::gather
