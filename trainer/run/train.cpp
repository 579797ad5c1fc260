// `podium train`: where a run begins, goes on and ends.
#include "trainer/run/train.h"

#include <fmt/format.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "data_shards/transform/mix_recipe.h"
#include "models/weights/weights.h"
#include "trainer/step/batch_feed.h"
#include "distributed/device_module.h"
#include "trainer/evaluate/evaluate.h"
#include "trainer/record/manifest.h"
#include "trainer/evaluate/precise_norms.h"
#include "trainer/record/state_digest.h"
#include "trainer/record/weights_origin.h"
#include "trainer/run/train_keeper.h"
#include "trainer/step/train_loop.h"
#include "trainer/recipe/train_options.h"
#include "trainer/recipe/class_info.h"
#include "trainer/recipe/data_setup.h"
#include "trainer/recipe/process_setup.h"
#include "trainer/recipe/model_setup.h"
#include "trainer/recipe/recipe_schema.h"
#include "distributed/agreement.h"
#include "distributed/world/world.h"
#include "distributed/world/load_device_module.h"
#include "trainer/step/norm_reducer.h"
#include "trainer/run/state_check.h"
#include "trainer/step/run_position.h"
#include "trainer/step/run_state.h"
#include "trainer/run/train_start.h"

namespace podium::trainer {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

constexpr int64_t kMinNormBatch = 16;  // samples that give a batch norm usable statistics

// Sets the mode of the batch norms; returns those whose running statistics each step updates.
std::vector<models::BatchNorm2dImpl*> prepare_norms(Trainee& run, Communicator& communicator) {
  const TrainSettings& settings = run.settings;
  std::vector<models::BatchNorm2dImpl*> norms = models::find_trained_norms(*run.model);
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

Trainee make_trainee(const Recipe& recipe, const TrainSettings& settings, const ClassInfo& info,
                     const TrainData& data, int64_t steps_per_epoch, Communicator& communicator,
                     bool is_new, const TrainOptions& options) {
  Trainee run;
  run.settings = settings;
  run.task = info.task;
  run.num_classes = info.num_classes();
  run.mix = data_shards::mix_options(recipe, *data.dataset, data.train_indices);
  run.steps_per_epoch = steps_per_epoch;
  run.schedule = schedule_options(recipe, steps_per_epoch);
  run.communicator = &communicator;
  run.model = build_model(recipe, info, data.train_transforms->channels(), is_new);
  freeze_parameters(recipe, *run.model);
  run.model->to(communicator.device());
  configure_model(settings, *run.model);
  run.loss = make_loss(loss_options(recipe, info.task, info.num_classes()));
  const OptimizerOptions optimizer = optimizer_options(recipe);
  const auto groups = make_parameter_groups(*run.model, group_options(recipe, *run.model));
  const std::string note = training_note(*run.model, groups);
  if (!note.empty() && communicator.rank() == 0) log_info("{}", note);
  run.optimizer = make_optimizer(optimizer, groups);
  if (settings.precision == "fp16")
    run.scaler = std::make_unique<LossScaler>(communicator.device());
  const std::vector<models::BatchNorm2dImpl*> norms = prepare_norms(run, communicator);
  GradientReducerOptions reducer;
  reducer.logical_workers = settings.logical_workers;
  reducer.grad_accum_steps = settings.grad_accum_steps;
  reducer.bucket_bytes = options.bucket_bytes;
  reducer.reduction = options.is_fastest ? Reduction::kAllReduce : Reduction::kTree;
  std::vector<torch::Tensor> parameters;
  for (const torch::Tensor& parameter : run.model->parameters()) {
    if (parameter.requires_grad()) parameters.push_back(parameter);
  }
  run.reducer = std::make_unique<GradientReducer>(parameters, communicator, reducer);
  run.norms = std::make_unique<NormReducer>(norms, communicator, reducer);
  return run;
}

// Rank 0's parameters and buffers on all ranks; only then are averages and checkpoints taken over.
void align_ranks(Trainee& run, const StartPlan& start) {
  if (run.settings.has_ema()) run.ema = std::make_unique<Ema>(*run.model, run.settings.ema_decay);
  if (start.checkpoint) run.load_state(load_checkpoint(*start.checkpoint).tensors);
  const torch::NoGradGuard no_gradients;
  std::vector<torch::Tensor> tensors;
  for (const auto& [name, tensor] : models::state_dict(*run.model)) tensors.push_back(tensor);
  run.communicator->broadcast(tensors);
  if (run.ema && !start.checkpoint) {
    run.ema = std::make_unique<Ema>(*run.model, run.settings.ema_decay);
  }
}

// Evaluates with the averaged weights when the recipe says so; the trained ones are back
// afterwards.
class EvaluatedWeights {
 public:
  explicit EvaluatedWeights(Trainee& run)
      : run_(run), is_swapped_(run.ema && run.settings.is_ema_evaluated) {
    if (is_swapped_) run_.ema->swap(*run_.model);
  }
  ~EvaluatedWeights() {
    if (is_swapped_) run_.ema->swap(*run_.model);
  }
  EvaluatedWeights(const EvaluatedWeights&) = delete;
  EvaluatedWeights& operator=(const EvaluatedWeights&) = delete;

 private:
  Trainee& run_;
  bool is_swapped_;
};

struct Outcome {
  RunPosition position;
  Evaluation evaluation;  // of the last epoch
  std::vector<data_shards::BadSample> bad_samples;
};

// What the cache of decoded images holds, when that has changed.
void log_cache(const TrainData& data, std::string* last) {
  if (!data.train_loader.cache) return;
  const std::string summary = data.train_loader.cache->summary();
  if (summary != *last) log_info("cache of decoded pixels: {}", summary);
  *last = summary;
}

// All epochs from `position` on.
Outcome run_epochs(Trainee& run, const TrainData& data, const EvaluationOptions& evaluation,
                   const data_shards::TrainSampler& sampler, BatchFeed& feed, RunKeeper& keeper,
                   RunPosition position) {
  Outcome outcome;
  StateCheck check(run, keeper);
  std::string cache_summary;
  while (position.epoch < run.settings.epochs) {
    train_one_epoch(run, feed, check, position);
    const StateDigests digests = check.after_epoch(position);
    const int64_t epoch = position.epoch + 1;
    const bool is_last = epoch == run.settings.epochs;
    if (is_last) keeper.save_last(position);
    std::map<std::string, double> metrics;
    if (is_last || epoch % run.settings.eval_every_epochs == 0) {
      const EvaluatedWeights weights(run);
      if (run.settings.batch_norm == "precise") measure_norms(run, data, sampler);
      if (!data.val_indices.empty()) {
        EvaluationOptions options = evaluation;
        options.keep_predictions = is_last;
        outcome.evaluation = with_context(
            fmt::format("validation after epoch {}, step {}", epoch, position.global_step),
            [&] { return evaluate(*run.model, *run.communicator, data.val_indices, options); });
        metrics = outcome.evaluation.metrics;
      }
    }
    metrics["train_loss"] = position.epoch_loss_sum / static_cast<double>(run.steps_per_epoch);
    position.metrics = metrics;
    keeper.after_epoch(epoch, position, metrics, digests);
    log_cache(data, &cache_summary);
    position.epoch = epoch;
    position.step = 0;
    position.epoch_loss_sum = 0;
  }
  outcome.position = position;
  return outcome;
}

Json bad_sample_rows(const std::vector<data_shards::BadSample>& samples) {
  Json rows = Json::array();
  for (const auto& sample : samples)
    rows.push_back({{"place", sample.place}, {"reason", sample.reason}});
  return rows;
}

// Weights, predictions, manifest, result, DONE: in this order, on rank 0.
void write_results(const RunDirectory& directory, Trainee& run, Manifest& manifest,
                   Outcome& outcome, const ManifestFacts& facts,
                   const std::vector<data_shards::BadSample>& bad_samples) {
  const EvaluatedWeights evaluated(run);
  const TensorMap weights = models::state_dict(*run.model);
  const std::string weights_digest = digest_of(weights);
  models::save_tensors(directory.weights(), weights,
                       {{"model", facts.recipe->get_string("model.name")},
                        {"class_hash", facts.info->class_hash},
                        {"recipe_digest", facts.identity.recipe_digest},
                        {"averaged", run.ema && run.settings.is_ema_evaluated ? "ema" : "no"}});
  std::string predictions_digest;
  if (!facts.data->val_indices.empty()) {
    metrics::PredictionSet& set = outcome.evaluation.predictions;
    set.kind = metrics::PredictionKind::kOutOfFold;
    set.name = facts.trial_name;
    set.model_group = facts.model_group;
    set.fold = facts.identity.fold;
    set.weights = weights_origin(manifest.json());
    set.save(directory.oof_predictions());
    predictions_digest = set.values_digest();
  }
  manifest.finish(weights_digest, predictions_digest, outcome.position.metrics);
  const Json result = {{"epochs", outcome.position.epoch},
                       {"steps", outcome.position.global_step},
                       {"metrics", outcome.position.metrics},
                       {"weights", "weights.safetensors"},
                       {"weights_digest", weights_digest},
                       {"oof_predictions", predictions_digest.empty() ? "" : "predictions/oof"},
                       {"predictions_digest", predictions_digest},
                       {"bad_samples", bad_sample_rows(bad_samples)}};
  write_file_atomic(directory.result(),
                    result.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  mark_done(directory.root);
}

// The samples that were left out, each once.
std::vector<data_shards::BadSample> all_bad_samples(const data_shards::Loader& loader,
                                                    const Evaluation& evaluation,
                                                    Communicator& communicator) {
  std::map<std::string, std::string> reasons;
  for (const auto& sample : gather_bad_samples(loader.bad_samples(), communicator)) {
    reasons[sample.place] = sample.reason;
  }
  for (const auto& sample : evaluation.bad_samples) reasons[sample.place] = sample.reason;
  std::vector<data_shards::BadSample> samples;
  for (const auto& [place, reason] : reasons) samples.push_back({place, reason});
  if (communicator.rank() == 0 && !samples.empty()) {
    log_warning("{} bad samples were left out, first: {}: {}", samples.size(), samples[0].place,
                samples[0].reason);
  }
  return samples;
}

std::string default_trial_name(const fs::path& run_dir) {
  const fs::path path = fs::absolute(run_dir).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

std::string default_model_group(const std::string& trial_name) {
  const size_t slash = trial_name.rfind("/fold");
  return slash == std::string::npos ? trial_name : trial_name.substr(0, slash);
}

ManifestFacts make_facts(const Recipe& recipe, const TrainOptions& options, const TrainData& data,
                         const ClassInfo& info, int64_t steps_per_epoch) {
  ManifestFacts facts;
  facts.recipe = &recipe;
  facts.options = &options;
  facts.data = &data;
  facts.info = &info;
  facts.identity = {recipe.digest(), info.class_hash, data.dataset->digest(), data.folds_digest,
                    options.folds.empty() ? -1 : options.fold};
  facts.trial_name =
      options.trial_name.empty() ? default_trial_name(options.run_dir) : options.trial_name;
  facts.model_group =
      options.model_group.empty() ? default_model_group(facts.trial_name) : options.model_group;
  facts.steps_per_epoch = steps_per_epoch;
  return facts;
}

void require_dividing_workers(const Recipe& recipe, const Communicator& communicator) {
  const int64_t logical_workers = recipe.get_int("logical_workers");
  if (logical_workers % communicator.world_size() == 0) return;
  recipe.fail(
      "logical_workers",
      fmt::format("{} logical workers cannot be shared by {} workers; start 1, 2, 4 ... up to {}",
                  logical_workers, communicator.world_size(), logical_workers));
}

EvaluationOptions evaluation_options(const TrainData& data, const ClassInfo& info,
                                     const Trainee& run) {
  EvaluationOptions options;
  options.dataset = data.dataset;
  options.transforms = data.eval_transforms;
  options.loader = data.eval_loader;
  options.info = info;
  options.batch_size = run.settings.eval_batch_size;
  options.precision = run.settings.precision;
  options.loss = run.loss.get();
  return options;
}

}  // namespace

TrainResult train(const TrainOptions& options) {
  const auto communicator = make_communicator({options.timeout, options.device});
  const StopSignals signals;  // one that arrives before the first step stops after it
  const bool is_writer = communicator->rank() == 0;
  if (communicator->world_size() > 1)
    set_log_rank(communicator->rank(), communicator->world_size());
  const Recipe recipe = Recipe::load(options.recipe, recipe_schema(), options.overrides);
  const TrainSettings settings = train_settings(recipe);
  require_dividing_workers(recipe, *communicator);
  const ThreadCounts threads = configure_process(*communicator, options.loader_threads,
                                                 settings.compute_threads, options.is_fastest);
  const TrainData data =
      open_train_data(recipe, options, threads.loader, communicator->device().is_cuda());
  const ClassInfo info = class_info(recipe, *data.dataset);
  const auto sampler = std::make_shared<const data_shards::TrainSampler>(
      data.epoch_indices, settings.seed, settings.logical_workers, settings.grad_accum_steps,
      settings.micro_batch_size, data.order);

  const RunDirectory directory{options.run_dir};
  const ManifestFacts facts = make_facts(recipe, options, data, info, sampler->steps_per_epoch());

  std::unique_ptr<RunLock> lock;  // held by rank 0 to the end
  const StartPlan start = plan_start(directory, options, facts, *communicator, lock);
  if (start.is_finished) return read_result(directory);

  Trainee run = make_trainee(recipe, settings, info, data, sampler->steps_per_epoch(),
                             *communicator, !start.checkpoint, options);
  align_ranks(run, start);
  const Json machines = describe_machines(*communicator);
  std::unique_ptr<Manifest> manifest;
  if (is_writer) {
    manifest = open_manifest(directory, facts);
    manifest->add_start(*communicator, machines, threads, start.position, options.is_fastest);
  }
  data_shards::Loader loader(
      data.dataset, data.train_transforms,
      plan_training(sampler, start.position, settings.epochs, run.reducer->first_leaf(),
                    run.reducer->num_local_leaves()),
      /*is_training=*/true, data.train_loader);
  const std::unique_ptr<CopyStream> copy_stream = make_copy_stream(communicator->device());
  BatchFeed feed([&] { return loader.next(); }, info.task, communicator->device(),
                 copy_stream.get());
  Outcome outcome;
  {
    RunKeeper keeper(directory, facts.identity, run, loader, signals, manifest.get(),
                     start.position);
    outcome = run_epochs(run, data, evaluation_options(data, info, run), *sampler, feed, keeper,
                         start.position);
  }
  const auto bad_samples = all_bad_samples(loader, outcome.evaluation, *communicator);
  on_rank_zero(*communicator, [&] {
    write_results(directory, run, *manifest, outcome, facts, bad_samples);
    return std::string();
  });
  return read_result(directory);
}

}  // namespace podium::trainer
