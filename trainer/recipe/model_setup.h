// From a recipe to its model, ready to train. Read next: ../step/train_loop.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/recipe/recipe.h"
#include "models/interface/vision_model.h"
#include "trainer/optimizers/parameter_groups.h"
#include "trainer/recipe/class_info.h"
#include "trainer/recipe/train_settings.h"

namespace podium::trainer {

// The recipe's model on the host, its parameters from `seed` or, when `read_weights`, from
// model.weights.
std::shared_ptr<models::VisionModel> build_model(const Recipe& recipe, const ClassInfo& info,
                                                 int64_t channels, bool read_weights);

// Turns off the gradients of model.frozen's parameters; batch norms that are frozen whole normalise
// with their running statistics, which stay. Errors: RecipeError for a name that nothing has, with
// the nearest, and when nothing is left to train.
void freeze_parameters(const Recipe& recipe, models::VisionModel& model);
// Recomputation and memory order of train.recompute and train.channels_last.
void configure_model(const TrainSettings& settings, models::VisionModel& model);
// Weight decay and layer-wise learning rates of the recipe's optimizer for this model.
GroupOptions group_options(const Recipe& recipe, models::VisionModel& model);
// What is frozen and how far learning rates fall by layer, in one line for the log; "" where
// everything learns alike.
std::string training_note(const models::VisionModel& model,
                          const std::vector<ParameterGroup>& groups);

}  // namespace podium::trainer
