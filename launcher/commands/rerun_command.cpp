// rerun: the run of a manifest once more, compared while it goes on. What is compared:
// trainer/record/rerun_compare.h.
#include <fmt/format.h>

#include <chrono>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "distributed/device_module.h"
#include "distributed/world/load_device_module.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/flags.h"
#include "launcher/commands/commands.h"
#include "launcher/supervise/supervisor.h"
#include "trainer/recipe/recipe_schema.h"
#include "trainer/record/rerun_compare.h"
#include "trainer/record/rerun_inputs.h"
#include "trainer/record/rerun_report.h"
#include "trainer/record/run_directory.h"
#include "trainer/record/run_record.h"
#include "trainer/run/train.h"

namespace podium::launcher {
namespace fs = std::filesystem;
namespace {

using trainer::Promise;
using trainer::RerunVerdict;
using trainer::RunRecord;

// Reads what the repetition has written so far.
class EpochWatch {
 public:
  EpochWatch(const RunRecord& recorded, const trainer::RunDirectory& directory)
      : recorded_(recorded), directory_(directory) {}

  // True once an epoch differs although bits are promised. Looks at the files about once a second.
  bool has_diverged() {
    const auto now = std::chrono::steady_clock::now();
    if (is_diverged_ || now < next_look_) return is_diverged_;
    next_look_ = now + kInterval;
    std::error_code error;
    const auto changed_at = fs::last_write_time(directory_.manifest(), error);
    if (error || changed_at == changed_at_) return false;
    changed_at_ = changed_at;
    const auto outcome = trainer::compare_runs(recorded_, RunRecord::load(directory_.manifest()));
    for (size_t i = num_told_; i < outcome.epochs_compared.size(); ++i) tell(outcome, i);
    num_told_ = outcome.epochs_compared.size();
    is_diverged_ = outcome.promise == Promise::kBits && outcome.divergence.has_value();
    return is_diverged_;
  }

 private:
  static constexpr auto kInterval = std::chrono::milliseconds(500);

  static void tell(const trainer::RerunOutcome& outcome, size_t index) {
    const int64_t epoch = outcome.epochs_compared[index];
    if (!outcome.divergence || outcome.divergence->epoch > epoch) {
      log_info("epoch {}: the state is the recorded one, bit by bit", epoch);
    } else if (outcome.divergence->epoch == epoch) {
      const bool is_promised = outcome.promise == Promise::kBits;
      log_warning("{}{}", outcome.divergence->text(),
                  is_promised ? "; the workers are stopped" : " (bits are not promised here)");
    }
  }

  const RunRecord& recorded_;
  const trainer::RunDirectory& directory_;
  std::chrono::steady_clock::time_point next_look_;
  fs::file_time_type changed_at_;
  size_t num_told_ = 0;
  bool is_diverged_ = false;
};

// "cpu" or "cuda": what was asked for, else what the run used.
std::string device_kind(const Invocation& invocation, const RunRecord& record) {
  const bool has_gpu = count_driver_devices() > 0;
  if (invocation.has("device") && FLAGS_device != "auto") return FLAGS_device;
  if (invocation.has("device")) return has_gpu ? "cuda" : "cpu";
  const std::string device = record.manifest.at("starts").back().at("device");
  if (device == "cpu") return "cpu";
  if (!has_gpu) {
    throw UsageError(fmt::format(
        "rerun: {} was made on a GPU, and there is none here; give --device=cpu to compare its "
        "metrics, not its bits",
        record.file.string()));
  }
  return "cuda";
}

int worker_count(const Invocation& invocation, const RunRecord& record) {
  const auto workers =
      invocation.has("n") ? FLAGS_n : static_cast<int>(record.world_sizes().back());
  const int64_t logical_workers = record.manifest.at("logical_workers");
  if (workers < 1 || logical_workers % workers != 0) {
    throw UsageError(
        fmt::format("rerun: -n {}: expected a number that divides the run's {} logical workers",
                    workers, logical_workers));
  }
  return workers;
}

// The recipe's values must be the recorded ones; keys that are newer than the manifest are named.
void check_recipe(const RunRecord& record) {
  const Recipe recipe =
      Recipe::from_text(record.manifest.at("recipe_yaml"), record.file.string() + ": recipe_yaml",
                        trainer::recipe_schema());
  const nlohmann::json& recorded = record.manifest.at("recipe");
  for (const auto& [key, value] : recipe.values()) {
    if (!recorded.contains(key)) {
      log_warning("recipe key {} is newer than the manifest; its default {} is used", key,
                  value.dump());
    } else if (recorded.at(key) != value) {
      throw DataError(fmt::format(
          "{}: \"recipe\" says {} = {}, \"recipe_yaml\" says {}; the manifest was changed by hand",
          record.file.string(), key, recorded.at(key).dump(), value.dump()));
    }
  }
}

// Both are compared; where they contradict each other, a divergence is the record's own.
void warn_of_contradictions(const RunRecord& record) {
  for (const auto& [epoch, entry] : record.epochs) {
    if (entry.tensors.tensors.empty() || entry.tensors.state() == entry.state_digest) continue;
    log_warning(
        "epoch {}: digests.jsonl gives the state {}, but {} says {}: one of them was changed",
        epoch, entry.tensors.state(), record.file.string(), entry.state_digest);
  }
}

// Errors: UsageError when nothing can be promised, unless --force.
void require_a_promise(const RunRecord& record, const std::vector<std::string>& reasons) {
  if (reasons.empty()) {
    log_info("promised: the same bits (data, recipe, libraries and hardware class are the run's)");
    return;
  }
  const bool has_spread = record.manifest.contains("seed_spread");
  const std::string text = join(reasons, "; ");
  if (!record.is_worker_invariant() && !FLAGS_force) {
    throw UsageError(fmt::format("rerun: {}: {}; give --force to repeat it and compare its metrics",
                                 record.file.string(), reasons.front()));
  }
  if (!has_spread && !FLAGS_force) {
    throw UsageError(
        fmt::format("rerun: bits are not promised here ({}), and {} has no spread over seeds to "
                    "compare metrics by; record one by --seed_runs, or give --force to only look",
                    text, record.file.string()));
  }
  log_warning("bits are not promised here: {}", text);
  log_info("{}", has_spread ? "promised: metrics within the recorded spread over seeds"
                            : "promised: nothing; the manifest has no spread over seeds");
}

std::vector<std::string> worker_words(const RunRecord& record, const trainer::RerunInputs& inputs,
                                      const fs::path& recipe,
                                      const trainer::RunDirectory& directory,
                                      const std::string& device) {
  const nlohmann::json& manifest = record.manifest;
  const nlohmann::json& options = manifest.at("options");
  std::vector<std::string> words = {
      "train",
      "--recipe=" + recipe.string(),
      "--data=" + inputs.data.string(),
      "--run_dir=" + directory.root.string(),
      "--resume=auto",
      "--device=" + device,
      "--trial_name=" + manifest.at("trial_name").get<std::string>(),
      "--model_group=" + manifest.at("model_group").get<std::string>(),
      fmt::format("--timeout_s={}", FLAGS_timeout_s),
      fmt::format("--loader_threads={}", FLAGS_loader_threads)};
  if (!inputs.folds.empty()) {
    words.push_back("--folds=" + inputs.folds.string());
    words.push_back(fmt::format("--fold={}", options.at("fold").get<int64_t>()));
  }
  if (record.is_fastest()) words.emplace_back("--fastest");
  if (options.at("skip_bad_samples").get<bool>()) words.emplace_back("--on_bad_sample=skip");
  if (!inputs.weights.empty()) {
    words.emplace_back("--set");
    words.push_back("model.weights=" + inputs.weights);
  }
  return words;
}

std::string failure_text(const trainer::RerunOutcome& outcome) {
  if (outcome.verdict == RerunVerdict::kDiverged && outcome.divergence) {
    return "the bits are not the recorded ones: " + outcome.divergence->text();
  }
  if (outcome.verdict == RerunVerdict::kDiverged) {
    return "each epoch's state is the recorded one, but the final weights, predictions or metrics "
           "are not";
  }
  if (outcome.verdict == RerunVerdict::kOutsideSpread) {
    return "metrics lie outside the recorded spread over seeds";
  }
  return "nothing was promised, so nothing holds; the metrics are listed";
}

// Errors: UsageError where podium itself computes otherwise than it did, else DivergedError.
[[noreturn]] void fail(const trainer::RerunOutcome& outcome, const fs::path& report) {
  const std::string text = fmt::format("{}; see {}", failure_text(outcome), report.string());
  for (const auto& difference : outcome.differences) {
    if (difference.what != trainer::kNumericsName) continue;
    throw UsageError(
        fmt::format("rerun: numerics: recorded {}, here {}: podium was changed to "
                    "compute otherwise (CHANGELOG.md); {}",
                    difference.recorded, difference.here, text));
  }
  throw DivergedError("rerun: " + text);
}

// Trains, comparing meanwhile. A stop at a divergence is no interruption.
void repeat(const RunRecord& record, LaunchOptions launch_options,
            const trainer::RunDirectory& directory) {
  EpochWatch watch(record, directory);
  launch_options.should_stop = [&] { return watch.has_diverged(); };
  try {
    launch(launch_options);
  } catch (const InterruptedError&) {
    if (!watch.has_diverged()) throw;
  }
}

void rerun(const Invocation& invocation, const RunRecord& record) {
  if (!record.is_finished()) {
    throw DataError(
        fmt::format("{}: the run is not finished, so there is nothing to compare with; "
                    "let it end first",
                    record.file.string()));
  }
  const fs::path output = FLAGS_output;
  const trainer::RunDirectory directory{output / "run"};
  std::error_code ignored;
  const fs::path run_dir = fs::absolute(record.file).parent_path();
  if (fs::equivalent(output, run_dir, ignored) ||
      fs::equivalent(directory.root, run_dir, ignored)) {
    throw UsageError(fmt::format("rerun: --output={} is where the run itself lies; choose another",
                                 output.string()));
  }
  check_recipe(record);
  warn_of_contradictions(record);
  LaunchOptions options;
  options.num_workers = worker_count(invocation, record);
  options.hosts = FLAGS_hosts;
  options.starter = FLAGS_starter;
  options.max_restarts = FLAGS_max_restarts;
  options.grace_s = FLAGS_grace_s;
  options.log_dir = directory.logs();
  const std::string device = device_kind(invocation, record);
  const auto differences = trainer::find_differences(
      record.manifest, trainer::describe_here(torch::Device(device), options.num_workers), false);
  for (const auto& difference : differences) {
    log_info("{}: recorded {}, here {}", difference.what, difference.recorded, difference.here);
  }
  require_a_promise(record, trainer::reasons_against_bits(record, differences));
  const trainer::RerunInputs inputs = trainer::check_inputs(record, FLAGS_data);
  log_info("data, folds and initial weights are the recorded ones");

  make_directories(output);
  const fs::path recipe = output / "recipe.yaml";
  write_file_atomic(recipe, record.manifest.at("recipe_yaml").get<std::string>());
  options.worker_command = worker_words(record, inputs, recipe, directory, device);
  repeat(record, options, directory);

  const RunRecord here = RunRecord::load(directory.manifest());
  const trainer::RerunOutcome outcome = trainer::compare_runs(record, here);
  const fs::path report = output / "rerun.json";
  write_file_atomic(report, trainer::to_json(outcome, record, here)
                                    .dump(2, ' ', false, nlohmann::json::error_handler_t::replace) +
                                "\n");
  fmt::print("{}", trainer::summary_text(outcome, record, here));
  if (outcome.verdict != RerunVerdict::kEqual && outcome.verdict != RerunVerdict::kWithinSpread) {
    fail(outcome, report);
  }
}

void run(const Invocation& invocation) {
  if (FLAGS_output.empty() && FLAGS_seed_runs.empty()) {
    throw UsageError("rerun: --output is required; give the folder of the repetition");
  }
  RunRecord record = RunRecord::load(FLAGS_manifest);
  if (!FLAGS_seed_runs.empty()) {
    std::vector<fs::path> runs;
    for (const std::string& directory : comma_list(FLAGS_seed_runs)) runs.emplace_back(directory);
    trainer::record_seed_spread(record, runs);
    log_info("{}: spread over {} seeds recorded", record.file.string(), runs.size() + 1);
  }
  if (!FLAGS_output.empty()) rerun(invocation, record);
}

FlagGroup worker_flags() {
  return {"workers",
          {{.name = "n",
            .help = "Number of workers; any that divides the run's logical workers.",
            .default_text = "the run's"},
           {.name = "hosts",
            .help = "Hosts and how many workers each takes, as a:4,b:4.",
            .default_text = "this machine, or the Slurm allocation"},
           {.name = "starter",
            .help = "Who starts the workers (podium launch --help).",
            .choices = {"auto", "mpirun", "srun", "local"}},
           {.name = "device",
            .help = "Where to compute; auto: a GPU when there is one.",
            .default_text = "the run's",
            .choices = {"auto", "cpu", "cuda"}},
           loader_threads_flag(),
           {.name = "max_restarts",
            .help = "How often workers are started again after one was killed or a machine was "
                    "lost."},
           {.name = "grace_s",
            .help = "Longest wait for the last checkpoint after SIGINT, SIGTERM or a divergence, "
                    "in s."},
           timeout_flag()}};
}

}  // namespace

Command rerun_command() {
  return {
      .name = "rerun",
      .summary = "a manifest -> the same run again, verified bit by bit",
      .groups =
          {{"input",
            {{.name = "manifest", .help = "manifest.json of a finished run.", .is_required = true},
             {.name = "data",
              .help = "Packed data set; every shard must have the recorded bytes.",
              .default_text = "where the run read it"},
             {.name = "seed_runs",
              .help = "Finished runs that differ in the seed only, comma-separated; their spread "
                      "is recorded in the manifest (seed_spread). Without --output that is all."},
             {.name = "force",
              .help = "Repeat a run for which nothing can be promised: made with --fastest, or on "
                      "other hardware without a recorded spread."}}},
           {"output",
            {{.name = "output",
              .help = "Folder that gets run/ (the repetition) and rerun.json (the comparison)."}}},
           worker_flags()},
      .examples = {"podium rerun --manifest=runs/a/manifest.json -n 2 --output=reruns/a",
                   "podium rerun --manifest=runs/a/manifest.json --seed_runs=runs/a1,runs/a2"},
      .notes =
          "Exit code 0: what was promised holds. With the run's libraries and hardware class that "
          "is every bit, for any number of workers; elsewhere it is metrics within the recorded "
          "spread over seeds. 2: nothing can be promised, or podium itself computes otherwise than "
          "it "
          "did (numerics). 3: data, folds or weights are not the run's. 6: bits or metrics are "
          "not as promised; training stops at the first epoch that differs.",
      .run = run};
}

}  // namespace podium::launcher
