// A list of plans, and what comes after it.
#include "data_shards/plan/plan_stream.h"

#include <memory>
#include <utility>

namespace podium::data_shards {

PlanStream stream_plans(std::function<std::optional<std::vector<MicroBatchPlan>>()> next_list) {
  struct Cursor {
    std::vector<MicroBatchPlan> list;
    size_t next = 0;
    bool has_ended = false;
  };
  // Shared: a std::function is copied, its position must not be.
  const auto cursor = std::make_shared<Cursor>();
  return [cursor, next_list = std::move(next_list)]() -> std::optional<MicroBatchPlan> {
    while (cursor->next == cursor->list.size() && !cursor->has_ended) {
      auto list = next_list();
      cursor->has_ended = !list;
      cursor->list = std::move(list).value_or(std::vector<MicroBatchPlan>());
      cursor->next = 0;
    }
    if (cursor->has_ended) return std::nullopt;
    return std::move(cursor->list[cursor->next++]);
  };
}

PlanStream stream_plans(std::vector<MicroBatchPlan> plans) {
  std::optional<std::vector<MicroBatchPlan>> rest = std::move(plans);
  return stream_plans([rest = std::move(rest)]() mutable { return std::exchange(rest, {}); });
}

}  // namespace podium::data_shards
