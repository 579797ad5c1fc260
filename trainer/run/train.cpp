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
#include "distributed/agreement.h"
#include "distributed/device_module.h"
#include "distributed/world/load_device_module.h"
#include "distributed/world/world.h"
#include "models/weights/weights.h"
#include "trainer/evaluate/evaluate.h"
#include "trainer/evaluate/precise_norms.h"
#include "trainer/recipe/class_info.h"
#include "trainer/recipe/data_setup.h"
#include "trainer/recipe/process_setup.h"
#include "trainer/recipe/recipe_schema.h"
#include "trainer/recipe/train_options.h"
#include "trainer/recipe/train_settings.h"
#include "trainer/record/manifest.h"
#include "trainer/record/state_digest.h"
#include "trainer/record/weights_origin.h"
#include "trainer/run/state_check.h"
#include "trainer/run/train_keeper.h"
#include "trainer/run/train_start.h"
#include "trainer/run/training_setup.h"
#include "trainer/step/batch_feed.h"
#include "trainer/step/run_position.h"
#include "trainer/step/run_state.h"
#include "trainer/step/train_loop.h"

namespace podium::trainer {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

// Evaluates with the averaged weights when the recipe says so; the trained ones are back
// afterwards.
class EvaluatedWeights {
 public:
  explicit EvaluatedWeights(TrainingRun& run)
      : network_(run.network()), is_swapped_(network_.ema && run.settings.is_ema_evaluated) {
    if (is_swapped_) network_.ema->swap(*network_.model);
  }
  ~EvaluatedWeights() {
    if (is_swapped_) network_.ema->swap(*network_.model);
  }
  EvaluatedWeights(const EvaluatedWeights&) = delete;
  EvaluatedWeights& operator=(const EvaluatedWeights&) = delete;

 private:
  Network& network_;
  bool is_swapped_;
};

struct TrainedEpochs {
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
TrainedEpochs run_epochs(TrainingRun& run, const TrainData& data,
                         const EvaluationOptions& evaluation,
                         const data_shards::TrainSampler& sampler, BatchFeed& feed,
                         RunKeeper& keeper, RunPosition position) {
  TrainedEpochs trained;
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
        trained.evaluation = with_context(
            fmt::format("validation after epoch {}, step {}", epoch, position.global_step), [&] {
              return evaluate(*run.network().model, *run.communicator, data.val_indices, options);
            });
        metrics = trained.evaluation.metrics;
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
  trained.position = position;
  return trained;
}

Json bad_sample_rows(const std::vector<data_shards::BadSample>& samples) {
  Json rows = Json::array();
  for (const auto& sample : samples)
    rows.push_back({{"place", sample.place}, {"reason", sample.reason}});
  return rows;
}

// Weights, predictions, manifest, result, DONE: in this order, on rank 0.
void write_results(const RunDirectory& directory, TrainingRun& run, Manifest& manifest,
                   TrainedEpochs& trained, const ManifestFacts& facts,
                   const std::vector<data_shards::BadSample>& bad_samples) {
  const EvaluatedWeights evaluated(run);
  const TensorMap weights = models::state_dict(*run.network().model);
  const std::string weights_digest = digest_of(weights);
  models::save_tensors(
      directory.weights(), weights,
      {{"model", facts.recipe->get_string("model.name")},
       {"class_hash", facts.info->class_hash},
       {"recipe_digest", facts.identity.recipe_digest},
       {"averaged", run.network().ema && run.settings.is_ema_evaluated ? "ema" : "no"}});
  std::string predictions_digest;
  if (!facts.data->val_indices.empty()) {
    metrics::PredictionSet& set = trained.evaluation.predictions;
    set.kind = metrics::PredictionKind::kOutOfFold;
    set.name = facts.trial_name;
    set.model_group = facts.model_group;
    set.fold = facts.identity.fold;
    set.weights = weights_origin(manifest.json());
    set.save(directory.oof_predictions());
    predictions_digest = set.values_digest();
  }
  manifest.finish(weights_digest, predictions_digest, trained.position.metrics);
  const Json result = {{"epochs", trained.position.epoch},
                       {"steps", trained.position.global_step},
                       {"metrics", trained.position.metrics},
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
                                     const TrainingRun& run) {
  EvaluationOptions options;
  options.dataset = data.dataset;
  options.transforms = data.eval_transforms;
  options.loader = data.eval_loader;
  options.info = info;
  options.batch_size = run.settings.eval_batch_size;
  options.precision = run.settings.precision;
  options.is_channels_last = run.settings.is_channels_last;
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
  RunStart start = find_start(directory, options, facts, *communicator, lock);
  if (start.is_finished) return read_result(directory);

  TrainingRun run = make_training_run(recipe, settings, info, data, sampler->steps_per_epoch(),
                                      *communicator, !start.checkpoint, options);
  start_from(run, start);
  const Json machines = describe_machines(*communicator);
  std::unique_ptr<Manifest> manifest;
  if (is_writer) {
    manifest = open_manifest(directory, facts);
    manifest->add_start(*communicator, machines, threads, start.position, options.is_fastest);
  }
  data_shards::Loader loader(
      data.dataset, data.train_transforms,
      plan_training(sampler, start.position, settings.epochs, run.network().reducer->first_leaf(),
                    run.network().reducer->num_local_leaves()),
      /*is_training=*/true, data.train_loader);
  const std::unique_ptr<CopyStream> copy_stream = make_copy_stream(communicator->device());
  BatchFeed feed([&] { return loader.next(); }, info.task, communicator->device(),
                 copy_stream.get());
  TrainedEpochs trained;
  {
    RunKeeper keeper(directory, facts.identity, run, loader, signals, manifest.get(),
                     start.position);
    trained = run_epochs(run, data, evaluation_options(data, info, run), *sampler, feed, keeper,
                         start.position);
  }
  const auto bad_samples = all_bad_samples(loader, trained.evaluation, *communicator);
  on_rank_zero(*communicator, [&] {
    write_results(directory, run, *manifest, trained, facts, bad_samples);
    return std::string();
  });
  return read_result(directory);
}

}  // namespace podium::trainer
