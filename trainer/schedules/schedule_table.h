// The schedules that a recipe may name. To add one: a file beside cosine.cpp and a row in
// schedule_table.cpp. Read next: schedule.h.
#pragma once

#include "base/recipe/table.h"

namespace podium::trainer {

struct ScheduleRow : PartInfo {
  // The learning rate at `share` of the steps after the warm-up, in [0, 1]. A schedule has no
  // state, so there is nothing to create.
  double (*rate)(const PartSpec& schedule, double base_lr, double share) = nullptr;
};

const Table<ScheduleRow>& schedule_table();

}  // namespace podium::trainer
