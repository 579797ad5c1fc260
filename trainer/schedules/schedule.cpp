// Constant and cosine schedules with a linear warm-up.
#include "trainer/schedules/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/text.h"

namespace podium::trainer {

std::vector<std::string> list_schedules() { return {"constant", "cosine"}; }

double learning_rate(const ScheduleOptions& options, int64_t step) {
  const bool is_cosine = options.name == "cosine";
  if (!is_cosine && options.name != "constant") {
    throw UsageError(fmt::format("unknown schedule \"{}\"{}; schedules are {}", options.name,
                                 did_you_mean(options.name, list_schedules()),
                                 join(list_schedules(), ", ")));
  }
  if (step < options.warmup_steps) {
    const double share = static_cast<double>(step) / static_cast<double>(options.warmup_steps);
    return options.warmup_lr + (options.base_lr - options.warmup_lr) * share;
  }
  const int64_t num_steps = options.total_steps - options.warmup_steps;
  if (!is_cosine || num_steps <= 0) return options.base_lr;
  const double share = std::min(
      1.0, static_cast<double>(step - options.warmup_steps) / static_cast<double>(num_steps));
  return options.min_lr +
         (options.base_lr - options.min_lr) / 2 * (1 + std::cos(std::numbers::pi * share));
}

}  // namespace podium::trainer
