#include "trainer/schedules/schedule.h"

#include <algorithm>

#include "trainer/schedules/schedule_table.h"

namespace podium::trainer {

double learning_rate(const ScheduleOptions& options, int64_t step) {
  const ScheduleRow& row = schedule_table().at(options.schedule.name);
  if (step < options.warmup_steps) {
    const double share = static_cast<double>(step) / static_cast<double>(options.warmup_steps);
    return options.warmup_lr + (options.base_lr - options.warmup_lr) * share;
  }
  const int64_t num_steps = options.total_steps - options.warmup_steps;
  if (num_steps <= 0) return options.base_lr;
  const double share = std::min(
      1.0, static_cast<double>(step - options.warmup_steps) / static_cast<double>(num_steps));
  return row.rate(options.schedule, options.base_lr, share);
}

}  // namespace podium::trainer
