// The task, the classes and whether the model fits them.
#include "trainer/recipe/class_info.h"

#include <fmt/format.h>

#include "models/registry.h"
#include "trainer/recipe/optimization_keys.h"

namespace podium::trainer {

using data_shards::Dataset;
using data_shards::Task;

void ClassInfo::set_loss(const LossRow& loss) {
  is_binary_mask = task == Task::kSegmentation && loss.mask_logits == MaskLogits::kForeground;
  activation = loss.activation;
}

ClassInfo class_info(const Recipe& recipe, const Dataset& dataset) {
  ClassInfo info;
  info.task = dataset.task();
  info.classes = dataset.classes();
  info.class_hash = dataset.class_hash();
  const bool is_segmentation = info.task == Task::kSegmentation;
  info.set_loss(loss_table().at(loss_options(recipe, info.task, info.num_classes()).name));
  const std::string name = recipe.get_string("model.name"), head = recipe.get_string("model.head");
  if ((models::find_task(name, head) == models::ModelTask::kSegmentation) != is_segmentation) {
    recipe.fail(
        "model.name",
        fmt::format("{} is a {} model, but {} is a {} data set; `podium models` lists models",
                    head == "linear" ? name : fmt::format("{} with head {}", name, head),
                    is_segmentation ? "classification" : "segmentation",
                    dataset.directory().string(), data_shards::task_name(info.task)));
  }
  return info;
}

}  // namespace podium::trainer
