// Learning-rate schedules: pure functions of the step, without state. Which there are:
// schedule_table.h.
#pragma once

#include <cstdint>

#include "base/recipe/part.h"

namespace podium::trainer {

struct ScheduleOptions {
  PartSpec schedule;         // its name and its own keys
  double base_lr = 0;        // per step
  int64_t warmup_steps = 0;  // linear from warmup_lr to base_lr
  double warmup_lr = 0;
  int64_t total_steps = 0;  // warm-up included
};

// Learning rate of optimizer step `step` (0-based): the warm-up of w steps, then the schedule's
// rate at the share (step - w) / (total - w) of what is left, 1 past the end. Errors: UsageError
// with the nearest name.
double learning_rate(const ScheduleOptions& options, int64_t step);

}  // namespace podium::trainer
