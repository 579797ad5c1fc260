// The executors that --executor names: where the trials of a sweep run. Read next: slots.h,
// trial_step.h.
#pragma once

#include "base/recipe/table.h"
#include "sweeps/executors/slots.h"

namespace podium::sweeps {

struct ExecutorRow : PartInfo {
  // The slots it offers. Errors: UsageError for options that it cannot serve.
  std::vector<Slot> (*create)(const SlotOptions& options) = nullptr;
};

const Table<ExecutorRow>& executor_table();

}  // namespace podium::sweeps
