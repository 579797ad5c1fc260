// A pass over a fixed list of samples with only the batch norms in training mode.
#include "trainer/evaluate/precise_norms.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "data_shards/load/loader.h"
#include "data_shards/plan/plan_stream.h"

namespace podium::trainer {

void measure_norms(TrainingRun& run, const TrainData& data,
                   const data_shards::TrainSampler& sampler) {
  models::VisionModel& model = *run.network().model;
  const TrainSettings& settings = run.settings;
  const std::vector<models::BatchNorm2dImpl*> norms = models::find_trained_norms(model);
  if (norms.empty()) return;
  const int64_t global = sampler.global_batch_size();
  const int64_t num_steps = std::clamp<int64_t>((settings.batch_norm_samples + global - 1) / global,
                                                1, sampler.steps_per_epoch());
  // A logical worker takes all its micro-batches of all steps in turn: leaves of one large step.
  GradientReducerOptions options;
  options.logical_workers = settings.logical_workers;
  options.grad_accum_steps = settings.grad_accum_steps * num_steps;
  NormReducer reducer(norms, *run.communicator, options);
  const int64_t num_local = run.network().reducer->num_local_leaves() / settings.grad_accum_steps;
  const int64_t first = run.network().reducer->first_leaf() / settings.grad_accum_steps;
  std::vector<data_shards::MicroBatchPlan> plans;
  for (int64_t worker = first; worker < first + num_local; ++worker) {
    for (int64_t step = 0; step < num_steps; ++step) {
      for (auto& plan :
           sampler.plan(0, step, worker * settings.grad_accum_steps, settings.grad_accum_steps)) {
        plans.push_back(std::move(plan));
      }
    }
  }
  const size_t num_batches = plans.size();
  data_shards::Loader loader(data.dataset, data.eval_transforms,
                             data_shards::stream_plans(std::move(plans)),
                             /*is_training=*/true, data.eval_loader);

  const torch::NoGradGuard no_gradients;
  const bool was_training = model.is_training();
  model.eval();
  for (models::BatchNorm2dImpl* norm : norms) norm->train();
  for (size_t i = 0; i < num_batches; ++i) {
    const std::optional<data_shards::Batch> batch = loader.next();
    if (!batch) throw InternalError("the loader of the norms' samples ended before the last batch");
    (*run.forward)(model, batch->images);
    reducer.collect();
  }
  model.train(was_training);
  reducer.finish_precise();
}

}  // namespace podium::trainer
