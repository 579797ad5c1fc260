// Learning-rate schedules: pure functions of the step, without state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace podium::trainer {

struct ScheduleOptions {
  std::string name = "cosine";  // "constant", "cosine"
  double base_lr = 1e-3;
  double min_lr = 0.0;
  int64_t warmup_steps = 0;      // linear from warmup_lr to base_lr
  double warmup_lr = 0.0;
  int64_t total_steps = 1;       // warm-up included
};

std::vector<std::string> list_schedules();
// Learning rate of optimizer step `step` (0-based). Cosine after the warm-up of w steps:
// min + (base - min) / 2 * (1 + cos(pi * (step - w) / (total - w))).
double learning_rate(const ScheduleOptions& options, int64_t step);

}  // namespace podium::trainer
