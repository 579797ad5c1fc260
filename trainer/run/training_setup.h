// From a recipe and its data to a run that can make steps: the network, its optimizer, the
// reduction. Read next: ../step/train_loop.h.
#pragma once

#include <cstdint>

#include "base/recipe/recipe.h"
#include "distributed/communicator.h"
#include "trainer/recipe/class_info.h"
#include "trainer/recipe/data_setup.h"
#include "trainer/recipe/train_options.h"
#include "trainer/recipe/train_settings.h"
#include "trainer/run/train_start.h"
#include "trainer/step/train_loop.h"

namespace podium::trainer {

// `is_new`: parameters start from model.weights where the recipe names a file. Errors: RecipeError
// with the place in the recipe; DataError for weights that do not fit.
TrainingRun make_training_run(const Recipe& recipe, const TrainSettings& settings,
                              const ClassInfo& info, const TrainData& data, int64_t steps_per_epoch,
                              Communicator& communicator, bool is_new, const TrainOptions& options);

// Takes over the checkpoint, if there is one, and frees it; then rank 0's parameters and buffers go
// to all ranks, and only then averages begin. Collective: all ranks; blocks.
void start_from(TrainingRun& run, RunStart& start);

}  // namespace podium::trainer
