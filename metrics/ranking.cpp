// Ranking curves. The sort is by radix: gather ranks some hundred thousand columns of 65,000
// scores.
#include "metrics/ranking.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace podium::metrics {
namespace {

constexpr int kDigitBits = 11;
constexpr uint32_t kNumDigits = 1u << kDigitBits;
constexpr size_t kRadixFrom = 2048;  // below this many entries a comparison sort is faster

// A key that ascends as the score descends.
uint32_t descending_key(float score) {
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 becomes +0
  const uint32_t ascending = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return ~ascending;
}

// Sorts by the upper 32 bits, stable; the lower 32 bits travel along.
void radix_sort(std::vector<uint64_t>& entries) {
  std::vector<uint64_t> other(entries.size());
  for (int shift = 32; shift < 64; shift += kDigitBits) {
    std::array<size_t, kNumDigits + 1> starts{};
    for (const uint64_t entry : entries) {
      ++starts[((entry >> shift) & (kNumDigits - 1)) + 1];
    }
    for (size_t digit = 1; digit < starts.size(); ++digit) {
      starts[digit] += starts[digit - 1];
    }
    for (const uint64_t entry : entries) {
      other[starts[(entry >> shift) & (kNumDigits - 1)]++] = entry;
    }
    entries.swap(other);
  }
}

}  // namespace

std::vector<uint32_t> descending_order(std::span<const float> scores) {
  std::vector<uint64_t> entries(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isnan(scores[i])) {
      throw DataError(fmt::format("score {} of {} is NaN; expected a number", i, scores.size()));
    }
    entries[i] = (uint64_t{descending_key(scores[i])} << 32) | i;
  }
  if (entries.size() < kRadixFrom) {
    std::sort(entries.begin(), entries.end());
  } else {
    radix_sort(entries);
  }
  std::vector<uint32_t> order(scores.size());
  std::transform(entries.begin(), entries.end(), order.begin(),
                 [](uint64_t entry) { return static_cast<uint32_t>(entry); });
  return order;
}

RankingCurve ranking_curve(std::span<const float> scores, std::span<const float> targets) {
  if (scores.size() != targets.size()) {
    throw DataError(fmt::format("{} scores but {} targets; expected equal numbers", scores.size(),
                                targets.size()));
  }
  RankingCurve curve;
  bool is_open = false;
  for (const uint32_t i : descending_order(scores)) {
    if (targets[i] < 0) {
      continue;
    }
    if (!is_open || curve.points.back().score != scores[i]) {
      curve.points.push_back({scores[i], curve.positives, curve.known});
      is_open = true;
    }
    curve.positives += targets[i] > 0 ? 1 : 0;
    ++curve.known;
    curve.points.back().true_positives = curve.positives;
    curve.points.back().predicted = curve.known;
  }
  return curve;
}

double average_precision(const RankingCurve& curve) {
  if (curve.positives == 0) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  double sum = 0;
  int64_t previous = 0;
  for (const RankPoint& point : curve.points) {
    const double precision =
        static_cast<double>(point.true_positives) / static_cast<double>(point.predicted);
    sum += static_cast<double>(point.true_positives - previous) * precision;
    previous = point.true_positives;
  }
  return sum / static_cast<double>(curve.positives);
}

double roc_auc(const RankingCurve& curve) {
  const int64_t negatives = curve.known - curve.positives;
  if (curve.positives == 0 || negatives == 0) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  double twice_area = 0;  // in units of one positive times one negative
  RankPoint previous;
  for (const RankPoint& point : curve.points) {
    const int64_t false_positives =
        (point.predicted - point.true_positives) - (previous.predicted - previous.true_positives);
    twice_area += static_cast<double>(false_positives) *
                  static_cast<double>(point.true_positives + previous.true_positives);
    previous = point;
  }
  return twice_area / 2 / static_cast<double>(curve.positives) / static_cast<double>(negatives);
}

std::vector<float> transpose(std::span<const float> values, int64_t num_columns) {
  constexpr size_t kBlock = 64;  // rows whose cache lines stay near while all columns are written
  const auto columns = static_cast<size_t>(num_columns);
  const size_t rows = columns == 0 ? 0 : values.size() / columns;
  std::vector<float> result(values.size());
  for (size_t first = 0; first < rows; first += kBlock) {
    const size_t last = std::min(rows, first + kBlock);
    for (size_t column = 0; column < columns; ++column) {
      for (size_t row = first; row < last; ++row) {
        result[column * rows + row] = values[row * columns + column];
      }
    }
  }
  return result;
}

}  // namespace podium::metrics
