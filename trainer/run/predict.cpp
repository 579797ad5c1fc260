// Opens runs, checks that they fit the data, evaluates and saves.
#include "trainer/run/predict.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/safetensors_file.h"
#include "base/text.h"
#include "data_shards/pack/stage.h"
#include "data_shards/plan/splits.h"
#include "distributed/agreement.h"
#include "distributed/world/world.h"
#include "models/weights/weights.h"
#include "trainer/evaluate/evaluate.h"
#include "trainer/losses/loss.h"
#include "trainer/losses/loss_table.h"
#include "trainer/recipe/class_info.h"
#include "trainer/recipe/data_setup.h"
#include "trainer/recipe/model_setup.h"
#include "trainer/recipe/optimization_keys.h"
#include "trainer/recipe/process_setup.h"
#include "trainer/recipe/recipe_schema.h"
#include "trainer/recipe/train_settings.h"
#include "trainer/record/manifest.h"
#include "trainer/record/metrics_text.h"
#include "trainer/record/run_directory.h"
#include "trainer/record/weights_origin.h"
#include "trainer/run/train.h"
#include "trainer/run/train_keeper.h"

namespace podium::trainer {
namespace fs = std::filesystem;

namespace {

// A finished run as prediction needs it.
struct FinishedRun {
  RunDirectory directory;
  Recipe recipe;
  ClassInfo info;
  std::string trial_name, model_group;
  int64_t fold = -1;
  metrics::WeightsOrigin weights = {};
};

FinishedRun open_run(const fs::path& root) {
  require_done(root, "finish the run with podium train --resume=auto first");
  const RunDirectory directory{root};
  const nlohmann::json manifest = read_manifest(directory.manifest());
  FinishedRun run{directory, Recipe::load(directory.recipe(), recipe_schema()), {}, {}, {}, -1};
  run.info.task = data_shards::parse_task(manifest.at("task"));
  run.info.classes = manifest.at("classes").get<std::vector<std::string>>();
  run.info.class_hash = manifest.at("identity").at("class_hash");
  run.info.set_loss(loss_table().at(run.recipe.get_string("loss.name")));
  run.trial_name = manifest.at("trial_name");
  run.model_group = manifest.at("model_group");
  run.fold = manifest.at("identity").at("fold");
  run.weights = weights_origin(manifest);

  const SafetensorsFile weights(directory.weights());
  const auto found = weights.metadata().find("class_hash");
  if (found == weights.metadata().end() || found->second != run.info.class_hash) {
    throw DataError(fmt::format(
        "{}: class hash {}, but manifest.json says {}; the files are of "
        "different runs, train again",
        directory.weights().string(), found == weights.metadata().end() ? "none" : found->second,
        run.info.class_hash));
  }
  return run;
}

// A test set may come without class names; one that has them must have the run's, in order.
void require_same_classes(const FinishedRun& run, const data_shards::Dataset& dataset) {
  const bool is_nameless = !dataset.has_labels() && dataset.classes().empty();
  if (is_nameless || dataset.class_hash() == run.info.class_hash) return;
  const auto& there = dataset.classes();
  const auto& trained = run.info.classes;
  const auto [a, b] = std::mismatch(trained.begin(), trained.end(), there.begin(), there.end());
  throw DataError(
      fmt::format("{} has other classes than {}: class {} is \"{}\", trained was \"{}\" ({} and {} "
                  "classes); pack the "
                  "data with the classes of training",
                  dataset.directory().string(), run.directory.root.string(), a - trained.begin(),
                  b == there.end() ? "(none)" : *b, a == trained.end() ? "(none)" : *a,
                  there.size(), trained.size()));
}

data_shards::SampleList indices_of(const FinishedRun& run, const data_shards::Dataset& dataset,
                                   const std::string& split) {
  if (split == "val") {
    if (run.fold < 0) {
      throw UsageError(fmt::format(
          "{} was trained without folds, so it has no val split; give --split=test or all",
          run.directory.root.string()));
    }
    return data_shards::Folds::load(run.directory.folds()).val_indices(dataset, run.fold);
  }
  return data_shards::SampleList::range(0, dataset.size());
}

fs::path output_of(const FinishedRun& run, const PredictOptions& options) {
  const bool is_val = options.split == "val";
  if (options.output.empty()) return run.directory.predictions() / (is_val ? "oof" : "test");
  return options.runs.size() == 1 ? options.output : options.output / run.trial_name;
}

void check_options(const PredictOptions& options) {
  const auto require_one_of = [](const char* flag, const std::string& value,
                                 const std::vector<std::string>& allowed) {
    if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return;
    throw UsageError(fmt::format("--{}={}: expected {}", flag, value, join(allowed, ", ")));
  };
  require_one_of("split", options.split, {"val", "test", "all"});
  require_one_of("precision", options.precision, {"fp32", "bf16", "fp16"});
  if (options.runs.empty()) throw UsageError("--run: give at least one run directory");
}

void check_outputs(const std::vector<FinishedRun>& runs, const PredictOptions& options) {
  std::set<fs::path> seen;
  for (const FinishedRun& run : runs) {
    const fs::path output = output_of(run, options);
    if (!seen.insert(output.lexically_normal()).second) {
      throw UsageError(
          fmt::format("--run: two runs are named \"{}\" and would both write {}; predict them with "
                      "separate --output",
                      run.trial_name, output.string()));
    }
  }
}

// One run's predictions, saved by rank 0.
void predict_run(const FinishedRun& run, const std::shared_ptr<const data_shards::Dataset>& dataset,
                 const PredictOptions& options, Communicator& communicator) {
  require_same_classes(run, *dataset);
  const TrainSettings settings = train_settings(run.recipe);
  const ThreadCounts threads = configure_process(communicator, options.loader_threads,
                                                 settings.compute_threads, /*is_fastest=*/false);
  EvaluationOptions evaluation;
  evaluation.dataset = dataset;
  evaluation.transforms = make_transforms(run.recipe, "data.eval_transforms");
  evaluation.loader =
      eval_loader_options(run.recipe, *dataset, threads.loader, communicator.device().is_cuda(),
                          options.skip_bad_samples);
  if (options.uses_pread) evaluation.loader.reader = data_shards::ReaderKind::kPread;
  evaluation.info = run.info;
  evaluation.batch_size =
      options.batch_size > 0 ? options.batch_size : run.recipe.get_int("eval.batch_size");
  evaluation.precision = options.precision;
  evaluation.is_channels_last = settings.is_channels_last;
  evaluation.keep_predictions = true;
  const auto loss = make_loss(loss_options(run.recipe, run.info.task, run.info.num_classes()));
  evaluation.loss = loss.get();

  const auto model = build_model(run.recipe, run.info, evaluation.transforms->channels(), false);
  models::load_state_dict_strict(*model, models::load_tensors(run.directory.weights()));
  model->to(communicator.device());
  configure_model(settings, *model);
  Evaluation result =
      evaluate(*model, communicator, indices_of(run, *dataset, options.split), evaluation);

  const fs::path output = output_of(run, options);
  on_rank_zero(communicator, [&] {
    metrics::PredictionSet& set = result.predictions;
    set.kind = options.split == "val" ? metrics::PredictionKind::kOutOfFold
                                      : metrics::PredictionKind::kTest;
    set.name = run.trial_name;
    set.model_group = run.model_group;
    set.fold = run.fold;
    set.weights = run.weights;
    make_directories(fs::absolute(output).parent_path());
    set.save(output);
    log_info("{}: {} samples -> {}{}{}", run.trial_name, set.num_samples(), output.string(),
             result.metrics.empty() ? "" : ", ", metrics_text(result.metrics));
    for (const auto& sample : result.bad_samples)
      log_warning("left out {}: {}", sample.place, sample.reason);
    return std::string();
  });
}

}  // namespace

std::vector<fs::path> predict(const PredictOptions& options) {
  check_options(options);
  const auto communicator = make_communicator({options.timeout, options.device});
  if (communicator->world_size() > 1)
    set_log_rank(communicator->rank(), communicator->world_size());
  std::vector<FinishedRun> runs;
  for (const fs::path& root : options.runs) runs.push_back(open_run(root));
  check_outputs(runs, options);
  const auto dataset = data_shards::Dataset::open(
      options.stage.empty() ? options.data
                            : data_shards::stage_dataset(options.data, options.stage));
  std::vector<fs::path> outputs;
  for (const FinishedRun& run : runs) {
    with_context(run.directory.root.string(),
                 [&] { predict_run(run, dataset, options, *communicator); });
    outputs.push_back(output_of(run, options));
  }
  return outputs;
}

}  // namespace podium::trainer
