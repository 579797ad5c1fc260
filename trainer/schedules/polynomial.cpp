// A power of the share that is left.
#include <cmath>

#include "trainer/schedules/schedule_table.h"

namespace podium::trainer {

// min + (base - min) * (1 - share)^power; with power 1 a straight line. As torch's PolynomialLR,
// which ends at 0.
double polynomial_rate(const PartSpec& schedule, double base_lr, double share) {
  const double min_lr = schedule.get_float("min_lr");
  return min_lr + (base_lr - min_lr) * std::pow(1 - share, schedule.get_float("power"));
}

}  // namespace podium::trainer
