// The rows, and the search that all rules share.
#include "gather/search/threshold_table.h"

#include <cmath>

namespace podium::gather {
namespace {

constexpr double kDefaultThreshold = 0.5;

}  // namespace

const Table<ThresholdRow>& threshold_table() {
  static const Table<ThresholdRow> table(
      "threshold rule", "threshold rules",
      {{{.name = "f1", .help = "the class's F1"}, false, f1_fraction},
       {{.name = "youden", .help = "Youden's J = true positive rate - false positive rate"},
        true,
        youden_fraction}});
  return table;
}

int Fraction::compare(const Fraction& other) const {
  const int64_t left = numerator * other.denominator;
  const int64_t right = other.numerator * denominator;
  return left < right ? -1 : (left > right ? 1 : 0);
}

double best_threshold(const metrics::RankingCurve& curve, const ThresholdRow& rule) {
  if (curve.positives == 0 || (rule.needs_negatives && curve.positives == curve.known)) {
    return kDefaultThreshold;
  }
  Fraction best;
  double best_cut = kDefaultThreshold;
  bool is_first = true;
  for (size_t i = 0; i < curve.points.size(); ++i) {
    const double next =
        i + 1 < curve.points.size() ? static_cast<double>(curve.points[i + 1].score) : 0.0;
    const double cut = (static_cast<double>(curve.points[i].score) + next) / 2;
    const Fraction value = rule.value_at(curve, curve.points[i]);
    const int order = is_first ? 1 : value.compare(best);
    const double distance = std::abs(cut - 0.5) - std::abs(best_cut - 0.5);
    // Cuts descend, so an equally near later one is the lower one.
    if (order > 0 || (order == 0 && distance <= 0)) {
      best = value;
      best_cut = cut;
      is_first = false;
    }
  }
  return best_cut;
}

}  // namespace podium::gather
