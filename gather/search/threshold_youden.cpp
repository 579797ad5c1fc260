// youden: J = TPR - FPR, times positives and negatives, which are the same for all cuts of a class.
// Source: Youden, Cancer 1950.
#include "gather/search/threshold_table.h"

namespace podium::gather {

Fraction youden_fraction(const metrics::RankingCurve& curve, const metrics::RankPoint& point) {
  const int64_t negatives = curve.known - curve.positives;
  return {
      point.true_positives * negatives - (point.predicted - point.true_positives) * curve.positives,
      1};
}

}  // namespace podium::gather
