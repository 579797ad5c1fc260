// Half a cosine from the base rate to min_lr.
#include <cmath>
#include <numbers>

#include "trainer/schedules/schedule_table.h"

namespace podium::trainer {

// min + (base - min) / 2 * (1 + cos(pi * share)). Source: Loshchilov and Hutter, ICLR 2017, eq. 5,
// without restarts.
double cosine_rate(const PartSpec& schedule, double base_lr, double share) {
  const double min_lr = schedule.get_float("min_lr");
  return min_lr + (base_lr - min_lr) / 2 * (1 + std::cos(std::numbers::pi * share));
}

}  // namespace podium::trainer
