// The keys of loss, optimizer and schedule, and the parts that a recipe names by them. Read next:
// ../losses/loss_table.h, ../optimizers/optimizer_table.h, ../schedules/schedule_table.h.
#pragma once

#include <cstdint>

#include "base/recipe/part.h"
#include "base/recipe/recipe.h"
#include "base/recipe/schema.h"
#include "data_shards/format/task.h"
#include "trainer/schedules/schedule.h"

namespace podium::trainer {

// The keys loss.*, optimizer.* and schedule.*.
void add_optimization_keys(Schema* schema);

// The loss with its keys. Errors: RecipeError "r.yaml:7: loss.name: ..." when it does not fit the
// task (and, for masks, the number of classes).
PartSpec loss_options(const Recipe& recipe, data_shards::Task task, int64_t num_classes);
// The optimizer with its keys.
PartSpec optimizer_options(const Recipe& recipe);
ScheduleOptions schedule_options(const Recipe& recipe, int64_t steps_per_epoch);

}  // namespace podium::trainer
