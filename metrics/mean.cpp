// A sum in order over a count.
#include "metrics/mean.h"

#include <cmath>
#include <cstdint>
#include <limits>

namespace podium::metrics {

double mean_without_nan(std::span<const double> values) {
  double sum = 0;
  int64_t count = 0;
  for (const double value : values) {
    if (!std::isnan(value)) {
      sum += value;
      ++count;
    }
  }
  return count == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / static_cast<double>(count);
}

}  // namespace podium::metrics
