// f1: 2 TP / (predicted + positives).
#include "gather/search/threshold_table.h"

namespace podium::gather {

Fraction f1_fraction(const metrics::RankingCurve& curve, const metrics::RankPoint& point) {
  return {2 * point.true_positives, point.predicted + curve.positives};
}

}  // namespace podium::gather
