// The steps of gather, in the data's way: load, join, ensemble, threshold, score, submit, report.
#include "gather/gather.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/text.h"
#include "gather/search/ensemble.h"
#include "gather/sets/find_sets.h"
#include "gather/sets/join.h"
#include "gather/outcome/manifest.h"
#include "gather/outcome/outcome.h"
#include "gather/report/report.h"
#include "gather/search/scoring.h"
#include "metrics/output_directory.h"

namespace podium::gather {
namespace fs = std::filesystem;
using metrics::PredictionKind;
using metrics::PredictionTask;
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

void check_options(const GatherOptions& options) {
  if (options.oof.empty()) {
    throw UsageError("--oof: give at least one prediction set, run or sweep");
  }
  if (options.test.empty() != options.sample_submission.empty()) {
    throw UsageError(
        "--test and --sample_submission go together; give both, or none for a report without "
        "submission");
  }
  if (options.output.empty()) {
    throw UsageError("--output: give the directory to write");
  }
  if (options.greedy_rounds < 1 || options.bootstrap_replicates < 1) {
    throw UsageError(
        fmt::format("--greedy_rounds={} and --bootstrap_replicates={}: expected at least 1",
                    options.greedy_rounds, options.bootstrap_replicates));
  }
  std::error_code ignored;
  if (!options.overwrite && fs::is_directory(options.output, ignored) &&
      !fs::is_empty(options.output, ignored)) {
    throw IoError(
        fmt::format("--output {} exists and is not empty; choose another, or give --overwrite",
                    options.output.string()));
  }
}

// Scores one set of values, with thresholds of its own where the metric decides by thresholds.
class Judge {
 public:
  Judge(const OofTable& table, const FoldParts& parts, Metric metric, ThresholdRule rule,
        int num_threads)
      : table_(table), parts_(parts), metric_(metric), rule_(rule), num_threads_(num_threads) {}

  ScoreSummary summary_of(const Values& values) const {
    return summarise(*scorer_of(values), parts_);
  }

  double score_of(const Values& values) const {
    return scorer_of(values)->score(std::vector<uint16_t>(table_.samples.num_samples(), 1));
  }

 private:
  std::unique_ptr<Scorer> scorer_of(const Values& values) const {
    const bool needs_decision =
        metric_ != Metric::kMap && table_.samples.task != PredictionTask::kSingleLabel;
    const Decision decision =
        needs_decision ? fit_decision(table_, values, rule_, metric_, num_threads_) : Decision();
    return make_scorer(metric_, table_, values, decision, num_threads_);
  }

  const OofTable& table_;
  const FoldParts& parts_;
  Metric metric_;
  ThresholdRule rule_;
  int num_threads_;
};

std::vector<ModelScore> score_groups(const std::vector<GroupPredictions>& groups,
                                     const Judge& judge) {
  std::vector<ModelScore> scores;
  for (const GroupPredictions& group : groups) {
    scores.push_back({group.name, group.inputs, judge.summary_of(group.values), 0});
  }
  return scores;
}

void choose_ensemble(const OofTable& table, const GatherOptions& options, const Judge& judge,
                     int num_threads, Outcome& outcome) {
  const size_t num_groups = table.groups.size();
  const std::vector<int64_t> equal(num_groups, 1);
  for (size_t m = 1; m < num_groups; ++m) {
    if (outcome.groups[m].score.value > outcome.groups[outcome.best_group].score.value) {
      outcome.best_group = m;
    }
  }
  outcome.counts = equal;
  if (options.ensemble == EnsembleMethod::kBest) {
    std::fill(outcome.counts.begin(), outcome.counts.end(), 0);
    outcome.counts[outcome.best_group] = 1;
  } else if (options.ensemble == EnsembleMethod::kGreedy) {
    outcome.greedy =
        select_greedily(num_groups, options.greedy_rounds, [&](const std::vector<int64_t>& counts) {
          return judge.score_of(weighted_mean(table.groups, counts, num_threads));
        });
    outcome.counts = outcome.greedy->counts;
  }
  for (size_t m = 0; m < num_groups; ++m) {
    outcome.groups[m].weight = outcome.counts[m];
  }
  outcome.ensemble = weighted_mean(table.groups, outcome.counts, num_threads);
  outcome.mean_of_all = judge.summary_of(
      outcome.counts == equal ? outcome.ensemble : weighted_mean(table.groups, equal, num_threads));
}

// Scores of the ensemble by the other metrics of its task.
std::vector<NamedScore> other_scores(const OofTable& table, const Outcome& outcome,
                                     int num_threads) {
  std::vector<Metric> metrics;
  if (table.samples.task == PredictionTask::kMultiLabel) {
    metrics = {Metric::kMap};
  } else if (table.samples.task == PredictionTask::kSingleLabel) {
    metrics = {Metric::kAccuracy, Metric::kF1};
  } else {
    metrics = {Metric::kMiouPerImage, Metric::kMiouGlobal};
    if (table.samples.is_binary_mask()) {
      metrics.insert(metrics.begin(), {Metric::kDiceGlobal, Metric::kDicePerImage});
    }
  }
  const std::vector<uint16_t> all(table.samples.num_samples(), 1);
  std::vector<NamedScore> scores;
  for (const Metric metric : metrics) {
    scores.push_back(
        {metric_name(metric),
         make_scorer(metric, table, outcome.ensemble, outcome.decision, num_threads)->score(all)});
  }
  if (outcome.decision.classes) {
    scores.push_back({"macro_f1_nested", outcome.decision.classes->macro_f1_nested});
    scores.push_back({"macro_f1_in_sample", outcome.decision.classes->macro_f1_in_sample});
    scores.push_back({"macro_f1_at_0.5", outcome.decision.classes->macro_f1_at_half});
  }
  return scores;
}

std::vector<RunCurves> collect_curves(const OofTable& table,
                                      const std::vector<fs::path>& more_runs) {
  std::vector<RunCurves> curves;
  std::set<fs::path> seen;
  for (const GroupPredictions& group : table.groups) {
    for (const InputFacts& input : group.inputs) {
      if (!input.run_dir.empty() && seen.insert(fs::weakly_canonical(input.run_dir)).second) {
        curves.push_back(read_run_curves(input.run_dir, input.name, group.name));
      }
    }
  }
  for (const fs::path& run : more_runs) {
    if (!fs::exists(run / "metrics.jsonl")) {
      throw IoError(
          fmt::format("run {}: no metrics.jsonl; expected the directory of a run", run.string()));
    }
    if (seen.insert(fs::weakly_canonical(run)).second) {
      curves.push_back(read_run_curves(run, run.filename().string(), run.filename().string()));
    }
  }
  std::erase_if(curves, [](const RunCurves& run) {
    return run.train_loss.empty() && run.validation_metric.empty();
  });
  return curves;
}

GatherResult result_of(const Outcome& outcome) {
  GatherResult result;
  result.metric = metric_name(outcome.metric);
  result.score = outcome.score.value;
  result.interval_low = outcome.interval.low;
  result.interval_high = outcome.interval.high;
  result.mean_over_folds = outcome.score.mean;
  result.stddev_over_folds = outcome.score.stddev;
  result.prior_score = outcome.prior_score;
  result.baseline_score =
      outcome.best_baseline() ? outcome.baselines[*outcome.best_baseline()].score.value : kNan;
  for (const ModelScore& group : outcome.groups) {
    result.groups.push_back({group.name, group.score.value, group.weight});
  }
  return result;
}

// Everything that is found out from out-of-fold predictions.
Outcome judge_models(const OofTable& table, const OofTable* baselines, const GatherOptions& options,
                     int num_threads) {
  Outcome outcome;
  outcome.metric = parse_metric(options.metric, table.samples);
  outcome.method = options.ensemble;
  outcome.threshold_rule = options.threshold_rule;
  outcome.parts = fold_parts(table);
  const Judge judge(table, outcome.parts, outcome.metric, options.threshold_rule, num_threads);
  outcome.groups = score_groups(table.groups, judge);
  if (baselines != nullptr) {
    outcome.baselines = score_groups(baselines->groups, judge);
  }
  choose_ensemble(table, options, judge, num_threads, outcome);
  outcome.decision =
      fit_decision(table, outcome.ensemble, options.threshold_rule, outcome.metric, num_threads);
  const auto scorer =
      make_scorer(outcome.metric, table, outcome.ensemble, outcome.decision, num_threads);
  outcome.score = summarise(*scorer, outcome.parts);
  outcome.bootstrap_replicates = options.bootstrap_replicates;
  outcome.interval = bootstrap_interval(*scorer, table.samples.num_samples(),
                                        options.bootstrap_replicates, options.seed, num_threads);
  outcome.other_scores = other_scores(table, outcome, num_threads);
  outcome.class_priors = class_priors(table);
  outcome.prior_score = prior_score(outcome.metric, table);
  outcome.runs = collect_curves(table, options.runs);
  return outcome;
}

}  // namespace

std::string GatherResult::summary() const {
  size_t width = 14;
  for (const GroupScore& group : groups) {
    width = std::max(width, group.name.size());
  }
  std::string text;
  for (const GroupScore& group : groups) {
    text += fmt::format("  {:<{}}  {} {:.4f}  weight {}\n", group.name, width, metric, group.score,
                        group.weight);
  }
  text += fmt::format("  {:<{}}  {} {:.4f}  95 % interval {:.4f} to {:.4f}", "ensemble", width,
                      metric, score, interval_low, interval_high);
  text += std::isnan(stddev_over_folds)
              ? "\n"
              : fmt::format(", over folds {:.4f} +- {:.4f}\n", mean_over_folds, stddev_over_folds);
  if (!std::isnan(baseline_score)) {
    text += fmt::format("  {:<{}}  {} {:.4f}\n", "baseline", width, metric, baseline_score);
  }
  return text + fmt::format("  {:<{}}  {} {:.4f}\n", "class prior", width, metric, prior_score);
}

GatherResult gather(const GatherOptions& options) {
  check_options(options);
  const int num_threads = options.num_threads > 0 ? options.num_threads : available_cores();
  const OofTable table = join_oof(load_sets(options.oof, PredictionKind::kOutOfFold, "--oof"));
  std::optional<OofTable> baselines;
  if (!options.baselines.empty()) {
    baselines = join_oof(load_sets(options.baselines, PredictionKind::kOutOfFold, "--baseline"));
    require_same_samples(table, *baselines);
  }
  std::optional<TestTable> test;
  std::optional<SampleSubmission> sample;
  if (!options.test.empty()) {
    test = join_test(load_sets(options.test, PredictionKind::kTest, "--test"));
    require_same_models(table, *test);
    sample.emplace(options.sample_submission, test->samples);
    log_info("submission layout of {}: {}", options.sample_submission.string(),
             layout_title(sample->layout()));
  }
  Outcome outcome = judge_models(table, baselines ? &*baselines : nullptr, options, num_threads);

  metrics::OutputDirectory output(options.output, options.overwrite);
  std::vector<std::string> names;
  const auto write = [&](const char* name, const std::string& text) {
    write_file_atomic(output.path() / name, text);
    names.emplace_back(name);
  };
  if (test) {
    outcome.test_inputs = inputs_of(test->groups);
    outcome.submission =
        sample->write(output.path() / "submission.csv", test->samples,
                      weighted_mean(test->groups, outcome.counts, num_threads), outcome.decision,
                      options.submission_values, options.rle_order);
    names.emplace_back("submission.csv");
  }
  write("thresholds.json", thresholds_json(table, outcome));
  write("ensemble.json", ensemble_json(table, outcome));
  write("scores.json", scores_json(table, outcome));
  write("report.html", report_html(options, table, baselines ? &*baselines : nullptr, outcome));
  const GatherInputs inputs = {inputs_of(table.groups),
                               baselines ? inputs_of(baselines->groups) : std::vector<InputFacts>(),
                               outcome.test_inputs};
  write("manifest.json", manifest_json(options, inputs, output.path(), names));
  output.commit();
  GatherResult result = result_of(outcome);
  for (const std::string& name : names) {
    result.files.push_back(options.output / name);
  }
  return result;
}

}  // namespace podium::gather
