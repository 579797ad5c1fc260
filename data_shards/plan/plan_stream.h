// Micro-batches as the loader asks for them: one after another, from lists that are made when the
// ones before are used up. Read next: sampler.h, ../load/loader.h.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "data_shards/plan/sampler.h"

namespace podium::data_shards {

// The next plan, nullopt at the end. Threads: of one thread.
using PlanStream = std::function<std::optional<MicroBatchPlan>()>;

// The plans of each list in turn; `next_list` returns nullopt at the end and is not called again.
PlanStream stream_plans(std::function<std::optional<std::vector<MicroBatchPlan>>()> next_list);
// Those of one list.
PlanStream stream_plans(std::vector<MicroBatchPlan> plans);

}  // namespace podium::data_shards
