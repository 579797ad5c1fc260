#include "trainer/recipe/optimization_keys.h"

#include <fmt/format.h>

#include <cmath>

#include "base/text.h"
#include "trainer/losses/loss_table.h"
#include "trainer/optimizers/optimizer_table.h"
#include "trainer/schedules/schedule_table.h"

namespace podium::trainer {
namespace {

using data_shards::Task;

constexpr double kMaxCount = 1e9;

// "a", "a or b", "a, b or c".
std::string alternatives(const std::vector<std::string>& names) {
  if (names.size() < 2) return join(names, "");
  const std::vector<std::string> first(names.begin(), names.end() - 1);
  return join(first, ", ") + " or " + names.back();
}

}  // namespace

void add_optimization_keys(Schema* schema) {
  add_part_keys(schema, "loss.name", "bce", "what training minimises; it must fit the data set",
                "loss.", loss_table().parts());

  add_part_keys(schema, "optimizer.name", "adam", "update rule", "optimizer.",
                optimizer_table().parts());
  schema->add_float(
      "optimizer.lr", 3e-4, "per step", 0, 1e30,
      "base learning rate, for the global batch size of this recipe (no scaling rule)");
  schema->add_float("optimizer.weight_decay", 0.0, "", 0, 1e3,
                    "decoupled in adamw, added to the gradient in sgd and adam");
  schema->add_bool("optimizer.no_decay_for_norms_and_biases", true,
                   "parameters with one dimension get no weight decay");
  schema->add_string(
      "optimizer.no_decay_by_name", "with_layer_decay",
      "weights that the model's public definition trains without weight decay (tables "
      "of positions, class tokens, Swin-v2's logit scales) get none: with "
      "optimizer.layer_decay below 1, always, or never",
      {"with_layer_decay", "always", "never"});
  schema->add_float(
      "optimizer.layer_decay", 1.0, "per layer", 1e-3, 1,
      "factor of the learning rate from each layer to the one before it, counted from "
      "the head; 1: all learn alike");
  schema->add_string("optimizer.layer_decay_rule", "timm",
                     "how layers are counted: timm: the norm after the last block belongs to it; "
                     "beit: to the head",
                     {"timm", "beit"});

  add_part_keys(schema, "schedule.name", "constant", "learning rate over the run", "schedule.",
                schedule_table().parts());
  schema->add_float("schedule.warmup_epochs", 0.0, "epochs", 0, kMaxCount,
                    "linear rise from warmup_lr to optimizer.lr at the start");
  schema->add_float("schedule.warmup_lr", 0.0, "per step", 0, 1e30,
                    "learning rate of the first step of a warm-up");
}

PartSpec loss_options(const Recipe& recipe, Task task, int64_t num_classes) {
  const LossRow& row = loss_table().at(recipe.get_string("loss.name"));
  if (!row.fits(task, num_classes)) {
    recipe.fail("loss.name",
                fmt::format("\"{}\" does not fit a {} data set with {} classes; use {}", row.name,
                            data_shards::task_name(task), num_classes,
                            alternatives(losses_that_fit(task, num_classes))));
  }
  return recipe.get_part("loss.", row);
}

PartSpec optimizer_options(const Recipe& recipe) {
  return recipe.get_part("optimizer.", optimizer_table().at(recipe.get_string("optimizer.name")));
}

ScheduleOptions schedule_options(const Recipe& recipe, int64_t steps_per_epoch) {
  ScheduleOptions options;
  options.schedule =
      recipe.get_part("schedule.", schedule_table().at(recipe.get_string("schedule.name")));
  options.base_lr = recipe.get_float("optimizer.lr");
  options.warmup_lr = recipe.get_float("schedule.warmup_lr");
  options.total_steps = recipe.get_int("train.epochs") * steps_per_epoch;
  options.warmup_steps = std::llround(recipe.get_float("schedule.warmup_epochs") *
                                      static_cast<double>(steps_per_epoch));
  if (options.warmup_steps > options.total_steps) {
    recipe.fail("schedule.warmup_epochs", fmt::format("{} steps of warm-up, but the run has {}",
                                                      options.warmup_steps, options.total_steps));
  }
  return options;
}

}  // namespace podium::trainer
