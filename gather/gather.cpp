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
#include "gather/outcome/findings.h"
#include "gather/outcome/manifest.h"
#include "gather/report/report.h"
#include "gather/search/ensemble_table.h"
#include "gather/search/priors.h"
#include "gather/search/scoring.h"
#include "gather/sets/find_sets.h"
#include "gather/sets/join.h"
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
  if (options.bootstrap_replicates < 1) {
    throw UsageError(fmt::format("--bootstrap_replicates={}: expected at least 1",
                                 options.bootstrap_replicates));
  }
  std::error_code ignored;
  if (!options.overwrite && fs::is_directory(options.output, ignored) &&
      !fs::is_empty(options.output, ignored)) {
    throw IoError(
        fmt::format("--output {} exists and is not empty; choose another, or give --overwrite",
                    options.output.string()));
  }
}

// The parts that the options name, found before anything is read.
struct Parts {
  const EnsembleRow* ensemble = nullptr;
  PartSpec ensemble_keys;  // those that are not given at their default
  const ThresholdRow* threshold_rule = nullptr;
};

// Errors: UsageError for an unknown name or a value outside the range of its key.
Parts find_parts(const GatherOptions& options) {
  Parts parts;
  parts.ensemble = with_context("--ensemble=" + options.ensemble.name,
                                [&] { return &ensemble_table().at(options.ensemble.name); });
  parts.threshold_rule = with_context("--thresholds=" + options.threshold_rule, [&] {
    return &threshold_table().at(options.threshold_rule);
  });
  parts.ensemble_keys = part_with_defaults(*parts.ensemble, options.ensemble.parameters);
  for (const Field& field : parts.ensemble->parameters.fields()) {
    const nlohmann::json& value = parts.ensemble_keys.parameters.at(field.key);
    if (field.min && value < *field.min) {
      throw UsageError(
          fmt::format("--{}={}: expected at least {}", field.key, value.dump(), *field.min));
    }
  }
  return parts;
}

// Scores one set of values, with thresholds of its own where the metric decides by thresholds.
class Judge {
 public:
  Judge(const OofTable& table, const FoldParts& parts, const ScorerRow& scorer,
        const ThresholdRow& rule, int num_threads)
      : table_(table), parts_(parts), scorer_(scorer), rule_(rule), num_threads_(num_threads) {}

  ScoreSummary summary_of(const Values& values) const {
    return summarise(*scorer_of(values), parts_);
  }

  double score_of(const Values& values) const {
    return scorer_of(values)->score(std::vector<uint16_t>(table_.samples.num_samples(), 1));
  }

 private:
  std::unique_ptr<Scorer> scorer_of(const Values& values) const {
    const bool needs_decision =
        scorer_.is_decided && table_.samples.task != PredictionTask::kSingleLabel;
    const Decision decision = needs_decision
                                  ? fit_decision(table_, values, rule_, scorer_.dice, num_threads_)
                                  : Decision();
    return scorer_.create(table_, values, decision, num_threads_);
  }

  const OofTable& table_;
  const FoldParts& parts_;
  const ScorerRow& scorer_;
  const ThresholdRow& rule_;
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

void choose_ensemble(const OofTable& table, const Parts& parts, const Judge& judge, int num_threads,
                     GatherFindings& findings) {
  const size_t num_groups = table.groups.size();
  const std::vector<int64_t> equal(num_groups, 1);
  for (size_t m = 1; m < num_groups; ++m) {
    if (findings.groups[m].score.value > findings.groups[findings.best_group].score.value) {
      findings.best_group = m;
    }
  }
  const EnsembleSearch search = {
      num_groups, findings.best_group, [&](const std::vector<int64_t>& counts) {
        return judge.score_of(weighted_mean(table.groups, counts, num_threads));
      }};
  EnsembleChoice choice = parts.ensemble->create(search, parts.ensemble_keys);
  findings.counts = std::move(choice.counts);
  findings.greedy = std::move(choice.greedy);
  for (size_t m = 0; m < num_groups; ++m) {
    findings.groups[m].weight = findings.counts[m];
  }
  findings.ensemble = weighted_mean(table.groups, findings.counts, num_threads);
  findings.mean_of_all =
      judge.summary_of(findings.counts == equal ? findings.ensemble
                                                : weighted_mean(table.groups, equal, num_threads));
}

// Scores of the ensemble by the other metrics of its task.
std::vector<NamedScore> other_scores(const OofTable& table, const GatherFindings& findings,
                                     int num_threads) {
  const bool is_multi_label = table.samples.task == PredictionTask::kMultiLabel;
  const std::vector<uint16_t> all(table.samples.num_samples(), 1);
  std::vector<NamedScore> scores;
  for (const ScorerRow* scorer : scorers_of(table.samples)) {
    if (is_multi_label && scorer->is_decided) continue;  // nested, in sample and at 0.5, below
    scores.push_back(
        {scorer->name,
         scorer->create(table, findings.ensemble, findings.decision, num_threads)->score(all)});
  }
  if (findings.decision.classes) {
    scores.push_back({"macro_f1_nested", findings.decision.classes->macro_f1_nested});
    scores.push_back({"macro_f1_in_sample", findings.decision.classes->macro_f1_in_sample});
    scores.push_back({"macro_f1_at_0.5", findings.decision.classes->macro_f1_at_half});
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

GatherResult result_of(const GatherFindings& findings) {
  GatherResult result;
  result.metric = findings.scorer->name;
  result.score = findings.score.value;
  result.interval_low = findings.interval.low;
  result.interval_high = findings.interval.high;
  result.mean_over_folds = findings.score.mean;
  result.stddev_over_folds = findings.score.stddev;
  result.prior_score = findings.prior_score;
  result.baseline_score =
      findings.best_baseline() ? findings.baselines[*findings.best_baseline()].score.value : kNan;
  for (const ModelScore& group : findings.groups) {
    result.groups.push_back({group.name, group.score.value, group.weight});
  }
  return result;
}

// Everything that is found out from out-of-fold predictions.
GatherFindings judge_models(const OofTable& table, const OofTable* baselines,
                            const GatherOptions& options, const Parts& parts, int num_threads) {
  GatherFindings findings;
  findings.scorer = &choose_scorer(options.metric, table.samples);
  findings.method = parts.ensemble;
  findings.threshold_rule = parts.threshold_rule;
  findings.parts = fold_parts(table);
  const Judge judge(table, findings.parts, *findings.scorer, *parts.threshold_rule, num_threads);
  findings.groups = score_groups(table.groups, judge);
  if (baselines != nullptr) {
    findings.baselines = score_groups(baselines->groups, judge);
  }
  choose_ensemble(table, parts, judge, num_threads, findings);
  findings.decision = fit_decision(table, findings.ensemble, *parts.threshold_rule,
                                   findings.scorer->dice, num_threads);
  const auto scorer =
      findings.scorer->create(table, findings.ensemble, findings.decision, num_threads);
  findings.score = summarise(*scorer, findings.parts);
  findings.bootstrap_replicates = options.bootstrap_replicates;
  findings.interval = bootstrap_interval(*scorer, table.samples.num_samples(),
                                         options.bootstrap_replicates, options.seed, num_threads);
  findings.other_scores = other_scores(table, findings, num_threads);
  findings.class_priors = class_priors(table);
  findings.prior_score = findings.scorer->prior(*findings.scorer, table);
  findings.runs = collect_curves(table, options.runs);
  return findings;
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
  const Parts parts = find_parts(options);
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
  GatherFindings findings =
      judge_models(table, baselines ? &*baselines : nullptr, options, parts, num_threads);

  metrics::OutputDirectory output(options.output, options.overwrite);
  std::vector<std::string> names;
  const auto write = [&](const char* name, const std::string& text) {
    write_file_atomic(output.path() / name, text);
    names.emplace_back(name);
  };
  if (test) {
    findings.test_inputs = inputs_of(test->groups);
    findings.submission =
        sample->write(output.path() / "submission.csv", test->samples,
                      weighted_mean(test->groups, findings.counts, num_threads), findings.decision,
                      options.submission_values, options.rle_order);
    names.emplace_back("submission.csv");
  }
  write("thresholds.json", thresholds_json(table, findings));
  write("ensemble.json", ensemble_json(table, findings));
  write("scores.json", scores_json(table, findings));
  write("report.html", report_html(options, table, baselines ? &*baselines : nullptr, findings));
  const GatherInputs inputs = {inputs_of(table.groups),
                               baselines ? inputs_of(baselines->groups) : std::vector<InputFacts>(),
                               findings.test_inputs};
  write("manifest.json", manifest_json(options, inputs, output.path(), names));
  output.commit();
  GatherResult result = result_of(findings);
  for (const std::string& name : names) {
    result.files.push_back(options.output / name);
  }
  return result;
}

}  // namespace podium::gather
