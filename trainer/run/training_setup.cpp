// Parts of a run, put together.
#include "trainer/run/training_setup.h"

#include <torch/utils.h>

#include <utility>
#include <vector>

#include "base/log.h"
#include "data_shards/mix/mix.h"
#include "data_shards/mix/mix_recipe.h"
#include "models/layers/batch_norm.h"
#include "models/weights/weights.h"
#include "trainer/recipe/model_setup.h"
#include "trainer/recipe/optimization_keys.h"

namespace podium::trainer {
namespace {

constexpr int64_t kMinNormBatch = 16;  // samples that give a batch norm usable statistics

// Sets the mode of the batch norms; returns those whose running statistics each step updates.
std::vector<models::BatchNorm2dImpl*> prepare_norms(const TrainSettings& settings,
                                                    models::VisionModel& model,
                                                    Communicator& communicator) {
  std::vector<models::BatchNorm2dImpl*> norms = models::find_trained_norms(model);
  const bool is_sync = settings.batch_norm == "sync";
  for (models::BatchNorm2dImpl* norm : norms) {
    if (settings.batch_norm == "frozen") norm->set_mode(models::NormMode::kFrozen);
    if (!is_sync) continue;
    norm->set_mode(models::NormMode::kSync, [&communicator](torch::Tensor values) {
      communicator.all_reduce_sum(std::move(values))->wait();
    });
  }
  if (settings.batch_norm == "frozen") return {};
  const int64_t num_seen = settings.micro_batch_size * (is_sync ? communicator.world_size() : 1);
  if (!norms.empty() && num_seen < kMinNormBatch && communicator.rank() == 0) {
    log_warning(
        "batch norms see {} samples (train.micro_batch_size); {} or more are advised: raise it and "
        "lower logical_workers, or set model.batch_norm: frozen or precise",
        num_seen, kMinNormBatch);
  }
  return norms;
}

GradientReducerOptions reducer_options(const TrainSettings& settings, const TrainOptions& options) {
  GradientReducerOptions reducer;
  reducer.logical_workers = settings.logical_workers;
  reducer.grad_accum_steps = settings.grad_accum_steps;
  reducer.bucket_bytes = options.bucket_bytes;
  reducer.reduction = options.is_fastest ? Reduction::kAllReduce : Reduction::kTree;
  return reducer;
}

std::vector<torch::Tensor> trained_parameters(const models::VisionModel& model) {
  std::vector<torch::Tensor> parameters;
  for (const torch::Tensor& parameter : model.parameters()) {
    if (parameter.requires_grad()) parameters.push_back(parameter);
  }
  return parameters;
}

Network make_network(const Recipe& recipe, const TrainSettings& settings,
                     std::shared_ptr<models::VisionModel> model, Communicator& communicator,
                     const GradientReducerOptions& reducer) {
  Network network;
  network.seed = settings.seed;
  network.model = std::move(model);
  const PartSpec optimizer = optimizer_options(recipe);
  const auto groups = make_parameter_groups(*network.model, group_options(recipe, *network.model));
  const std::string note = training_note(*network.model, groups);
  if (!note.empty() && communicator.rank() == 0) log_info("{}", note);
  network.optimizer = make_optimizer(optimizer, groups);
  if (settings.precision == "fp16") {
    network.scaler = std::make_unique<LossScaler>(communicator.device());
  }
  const auto norms = prepare_norms(settings, *network.model, communicator);
  network.reducer =
      std::make_unique<GradientReducer>(trained_parameters(*network.model), communicator, reducer);
  network.norms = std::make_unique<NormReducer>(norms, communicator, reducer);
  return network;
}

}  // namespace

TrainingRun make_training_run(const Recipe& recipe, const TrainSettings& settings,
                              const ClassInfo& info, const TrainData& data, int64_t steps_per_epoch,
                              Communicator& communicator, bool is_new,
                              const TrainOptions& options) {
  TrainingRun run;
  run.settings = settings;
  run.task = info.task;
  run.num_classes = info.num_classes();
  run.mix = data_shards::mix_options(recipe, *data.dataset, data.train_indices);
  run.steps_per_epoch = steps_per_epoch;
  run.schedule = schedule_options(recipe, steps_per_epoch);
  run.communicator = &communicator;
  run.forward.emplace(communicator.device(), settings.precision, settings.is_channels_last);
  auto model = build_model(recipe, info, data.train_transforms->channels(), is_new);
  freeze_parameters(recipe, *model);
  model->to(communicator.device());
  configure_model(settings, *model);
  run.loss = make_loss(loss_options(recipe, info.task, info.num_classes()));
  run.objective = std::make_unique<Supervised>(run.loss);
  run.networks.push_back(make_network(recipe, settings, std::move(model), communicator,
                                      reducer_options(settings, options)));
  return run;
}

void start_from(TrainingRun& run, RunStart& start) {
  const double ema_decay = run.settings.ema_decay;
  const auto start_averages = [&] {
    for (Network& network : run.networks) {
      if (run.settings.has_ema()) network.ema = std::make_unique<Ema>(*network.model, ema_decay);
    }
  };
  const bool is_new = !start.checkpoint;
  if (!is_new) {
    start_averages();
    run.load_state(start.checkpoint->state);
    start.checkpoint.reset();
  }
  {
    const torch::NoGradGuard no_gradients;
    std::vector<torch::Tensor> tensors;
    for (const Network& network : run.networks) {
      for (const auto& [name, tensor] : models::state_dict(*network.model)) {
        tensors.push_back(tensor);
      }
    }
    run.communicator->broadcast(tensors);
  }
  if (is_new) start_averages();
}

}  // namespace podium::trainer
