// Running statistics of batch norms measured anew with the weights as they are. Read next:
// gradient_reducer.h.
#pragma once

#include <memory>

#include "data_shards/plan/sampler.h"
#include "trainer/recipe/data_setup.h"
#include "trainer/step/train_loop.h"

namespace podium::trainer {

// Replaces the running statistics of all batch norms by those of the first samples (about
// model.batch_norm_samples, whole steps) in the order of epoch 0, seen through
// data.eval_transforms in the micro-batches of training: the list is fixed, the sums follow the
// tree, so the result does not depend on the number of workers. Collective: all ranks; blocks.
// Source: "precise batch norm", Wu and Johnson, Rethinking "Batch" in BatchNorm, 2021, section 3.
void measure_norms(TrainingRun& run, const TrainData& data,
                   const data_shards::TrainSampler& sampler);

}  // namespace podium::trainer
