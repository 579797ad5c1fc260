// Names of the tasks.
#include "data_shards/format/task.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"

namespace podium::data_shards {

std::string task_name(Task task) {
  switch (task) {
    case Task::kMultiLabel:
      return "multi_label";
    case Task::kSingleLabel:
      return "single_label";
    case Task::kSegmentation:
      return "segmentation";
  }
  throw InternalError(fmt::format("task {} has no name", static_cast<int>(task)));
}

Task parse_task(const std::string& name) {
  const std::vector<Task> tasks = {Task::kMultiLabel, Task::kSingleLabel, Task::kSegmentation};
  std::vector<std::string> names;
  for (Task task : tasks) {
    names.push_back(task_name(task));
    if (names.back() == name) return task;
  }
  throw DataError(fmt::format("unknown task \"{}\"{}; expected {}", name, did_you_mean(name, names),
                              join(names, ", ")));
}

}  // namespace podium::data_shards
