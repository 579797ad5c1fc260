// train, predict: one worker's part, whatever started it.
#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/process/exit_record.h"
#include "base/recipe/schema_text.h"
#include "base/text.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/flags.h"
#include "launcher/commands/commands.h"
#include "trainer/recipe/recipe_schema.h"
#include "trainer/recipe/train_options.h"
#include "trainer/run/predict.h"
#include "trainer/run/train.h"

namespace podium::launcher {
namespace {

std::chrono::milliseconds timeout_of(const std::string& command) {
  if (!(FLAGS_timeout_s >= 0.1 && FLAGS_timeout_s <= 1e6)) {
    throw UsageError(fmt::format("{}: --timeout_s={}: expected a number from 0.1 to 1000000",
                                 command, FLAGS_timeout_s));
  }
  return std::chrono::milliseconds(std::llround(FLAGS_timeout_s * 1000));
}

// What all workers know is printed by one of them.
bool is_first_worker() { return worker_rank() <= 0; }

FlagUse io_flag() {
  return {.name = "io",
          .help = "How shards are read: mmap (local disks) or pread (network file systems).",
          .choices = {"mmap", "pread"}};
}

FlagUse stage_flag() {
  return {.name = "stage",
          .help =
              "Folder on each node's own disk: the data set is copied there once, then read "
              "from there.",
          .default_text = "none: read from --data"};
}

void print_recipe_help() {
  if (!FLAGS_markdown) {
    fmt::print("{}", help_text(trainer::recipe_schema(), FLAGS_help_recipe));
    return;
  }
  if (!FLAGS_help_recipe.empty()) {
    throw UsageError(fmt::format(
        "train: --markdown writes all keys; give --help_recipe without \"{}\"", FLAGS_help_recipe));
  }
  fmt::print("{}", markdown_text(trainer::recipe_schema()));
}

void run_train(const Invocation& invocation) {
  if (invocation.has("help_recipe")) {
    print_recipe_help();
    return;
  }
  if (FLAGS_markdown) throw UsageError("train: --markdown needs --help_recipe");
  if (invocation.has("fold") && FLAGS_folds.empty()) {
    throw UsageError("train: --fold needs --folds; make the file by podium split");
  }
  trainer::TrainOptions options;
  options.recipe = FLAGS_recipe;
  options.overrides = invocation.overrides;
  options.data = FLAGS_data;
  options.folds = FLAGS_folds;
  options.fold = FLAGS_fold;
  options.run_dir = FLAGS_run_dir;
  options.resume = FLAGS_resume;
  options.device = FLAGS_device;
  options.loader_threads = FLAGS_loader_threads;
  options.uses_pread = FLAGS_io == "pread";
  options.stage = FLAGS_stage;
  options.is_fastest = FLAGS_fastest;
  if (!(FLAGS_bucket_mb > 0 && FLAGS_bucket_mb <= 1e6)) {
    throw UsageError(fmt::format(
        "train: --bucket_mb={}: expected a number above 0, at most 1000000", FLAGS_bucket_mb));
  }
  options.bucket_bytes = std::llround(FLAGS_bucket_mb * 1024 * 1024);
  options.skip_bad_samples = FLAGS_on_bad_sample == "skip";
  options.timeout = timeout_of("train");
  options.trial_name = FLAGS_trial_name;
  options.model_group = FLAGS_model_group;
  const trainer::TrainResult result = trainer::train(options);
  if (!is_first_worker()) return;
  fmt::print("{}: {} epochs, {} steps\n", FLAGS_run_dir, result.epochs, result.steps);
  for (const auto& [name, value] : result.metrics) fmt::print("  {} {:.6g}\n", name, value);
  if (!result.oof_predictions.empty()) {
    fmt::print("  predictions {}\n", result.oof_predictions.string());
  }
}

void run_predict(const Invocation&) {
  trainer::PredictOptions options;
  for (const std::string& run : comma_list(FLAGS_run)) options.runs.emplace_back(run);
  options.data = FLAGS_data;
  options.split = FLAGS_split;
  options.precision = FLAGS_precision;
  options.output = FLAGS_output;
  options.device = FLAGS_device;
  options.loader_threads = FLAGS_loader_threads;
  options.uses_pread = FLAGS_io == "pread";
  options.stage = FLAGS_stage;
  options.batch_size = FLAGS_batch_size;
  options.skip_bad_samples = FLAGS_on_bad_sample == "skip";
  options.timeout = timeout_of("predict");
  const auto directories = trainer::predict(options);
  if (!is_first_worker()) return;
  for (const auto& directory : directories) fmt::print("{}\n", directory.string());
}

}  // namespace

Command train_command() {
  return {
      .name = "train",
      .summary = "one run; the same program alone, under mpirun and under srun",
      .groups =
          {{"input",
            {{.name = "recipe", .help = "Recipe file (YAML).", .is_required = true},
             data_flag(),
             {.name = "folds",
              .help = "Folds file (podium split).",
              .default_text = "none: all samples train"},
             {.name = "fold", .help = "Fold that validates, from 0."}}},
           {"output",
            {{.name = "run_dir", .help = "Folder of the run.", .is_required = true},
             {.name = "resume",
              .help =
                  "auto: from the newest intact checkpoint in --run_dir, if any; never: refuse a "
                  "used folder; or a checkpoint folder."},
             {.name = "trial_name",
              .help = "Name of the predictions.",
              .default_text = "the name of --run_dir"},
             {.name = "model_group",
              .help = "Trials of one group differ only in the fold; gather joins them.",
              .default_text = "--trial_name without /foldN"}}},
           {"work",
            {device_flag(),
             loader_threads_flag(),
             io_flag(),
             stage_flag(),
             {.name = "fastest",
              .help = "Plain all-reduce: faster, but the bits depend on the number of workers."},
             {.name = "bucket_mb",
              .help = "MiB of gradients that travel together during the backward pass; changes "
                      "speed and memory, no bits."},
             on_bad_sample_flag(),
             timeout_flag()}},
           {"help",
            {{.name = "help_recipe",
              .help = "Print every key of a recipe, and end; with a value only that key "
                      "(optimizer.lr), section (optimizer) or transform (cutout).",
              .value_alone = ""},
             {.name = "markdown",
              .help = "With --help_recipe: print the tables of docs/recipes.md."}}}},
      .examples =
          {"podium train --recipe=recipes/s5_quick.yaml --data=shards/train --folds=folds.json "
           "--fold=0 --run_dir=runs/a --set optimizer.lr=1e-4"},
      .notes =
          "SIGTERM, SIGUSR1, SIGUSR2 and the first Ctrl-C end it after a checkpoint (exit code "
          "75); "
          "the same command goes on from there.",
      .takes_overrides = true,
      .run = run_train};
}

Command predict_command() {
  return {
      .name = "predict",
      .summary = "trained runs + shards -> prediction sets",
      .groups = {{"input",
                  {{.name = "run", .help = "Run folders, comma-separated.", .is_required = true},
                   data_flag(),
                   {.name = "split",
                    .help = "Samples to predict: val is the fold that the run left out.",
                    .choices = {"val", "test", "all"}}}},
                 {"output",
                  {{.name = "output",
                    .help =
                        "The prediction set; with several runs a folder that gets one for each.",
                    .default_text = "RUN/predictions/oof or test"}}},
                 {"work",
                  {{.name = "precision",
                    .help = "Number format of the model's arithmetic.",
                    .choices = {"fp32", "bf16", "fp16"}},
                   {.name = "batch_size",
                    .help = "Samples per forward pass.",
                    .default_text = "the recipe's eval.batch_size"},
                   device_flag(),
                   loader_threads_flag(),
                   io_flag(),
                   stage_flag(),
                   on_bad_sample_flag(),
                   timeout_flag()}}},
      .examples = {"podium predict --run=runs/a,runs/b --data=shards/test --split=test "
                   "--output=predictions"},
      .run = run_predict};
}

}  // namespace podium::launcher
