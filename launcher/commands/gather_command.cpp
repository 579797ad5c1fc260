// gather: prediction sets -> ensemble, thresholds, submission, report.
#include <fmt/format.h>

#include "base/text.h"
#include "gather/gather.h"
#include "gather/search/ensemble_table.h"
#include "gather/search/scorer_table.h"
#include "gather/search/threshold_table.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/flags.h"
#include "launcher/commands/commands.h"

namespace podium::launcher {
namespace {

std::vector<std::filesystem::path> path_list(const std::string& text) {
  std::vector<std::filesystem::path> paths;
  for (const std::string& part : comma_list(text)) paths.emplace_back(part);
  return paths;
}

// The search with those of its keys that flags give.
PartSpec ensemble_part() {
  PartSpec part{FLAGS_ensemble, nlohmann::json::object()};
  const gather::EnsembleRow& row = gather::ensemble_table().at(FLAGS_ensemble);
  if (row.parameters.find("greedy_rounds") != nullptr) {
    part.parameters["greedy_rounds"] = FLAGS_greedy_rounds;
  }
  return part;
}

// "mean: every model once; best: the best one; ...".
std::string rows_text(const std::vector<PartInfo>& rows) {
  std::vector<std::string> texts;
  for (const PartInfo& row : rows) texts.push_back(row.name + ": " + row.help);
  return join(texts, "; ");
}

void run(const Invocation& invocation) {
  gather::GatherOptions options;
  options.oof = path_list(FLAGS_oof);
  options.test = path_list(FLAGS_test);
  options.baselines = path_list(FLAGS_baseline);
  options.runs = path_list(FLAGS_runs);
  options.sample_submission = FLAGS_sample_submission;
  options.output = FLAGS_output;
  options.overwrite = FLAGS_overwrite;
  options.metric = FLAGS_metric;
  options.ensemble = ensemble_part();
  options.threshold_rule = FLAGS_thresholds;
  options.submission_values = gather::parse_submission_values(FLAGS_values);
  options.rle_order = gather::parse_rle_order(FLAGS_rle_order);
  options.bootstrap_replicates = FLAGS_bootstrap;
  options.seed = FLAGS_seed;
  options.num_threads = FLAGS_threads;
  options.title = FLAGS_title;
  options.command = "podium gather";
  for (const auto& [name, value] : invocation.values) {
    options.command += " --" + name + "=" + value;
  }
  const gather::GatherResult result = gather::gather(options);
  fmt::print("{}", result.summary());
  for (const auto& file : result.files) fmt::print("{}\n", file.string());
}

FlagGroup input_flags() {
  return {
      "input",
      {{.name = "oof",
        .help = "Out-of-fold predictions: prediction sets, run folders or sweep folders, "
                "comma-separated.",
        .is_required = true},
       {.name = "test",
        .help = "The same models' predictions on the test set.",
        .default_text = "none: no submission"},
       {.name = "sample_submission",
        .help = "The competition's sample submission: gives columns, ids and their order."},
       {.name = "baseline",
        .help = "Out-of-fold predictions of reference models, comma-separated: the line to beat in "
                "the report."},
       {.name = "runs", .help = "More run folders whose loss curves the report shows."}}};
}

std::string metric_flags_text() {
  std::vector<std::string> flags;
  for (const gather::ScorerRow& row : gather::scorer_table().rows()) {
    flags.push_back(row.metric().flag);
  }
  return join(flags, ", ");
}

FlagGroup method_flags() {
  const auto& ensembles = gather::ensemble_table();
  const auto& rules = gather::threshold_table();
  const Field& rounds = *ensembles.at("greedy").parameters.find("greedy_rounds");
  return {
      "method",
      {{.name = "metric",
        .help = "What is measured and searched for: " + metric_flags_text() + ".",
        .default_text = "the usual one of the task"},
       {.name = "ensemble",
        .help = rows_text(ensembles.parts()) + ".",
        .choices = ensembles.names()},
       {.name = "greedy_rounds", .help = rounds.help, .default_value = rounds.default_value.dump()},
       {.name = "thresholds",
        .help = "What each class's threshold maximises; " + rows_text(rules.parts()) + ".",
        .choices = rules.names()},
       {.name = "bootstrap", .help = "Replicates for the interval of the score."},
       {.name = "seed", .help = "Seed of the bootstrap."}}};
}

FlagGroup output_flags() {
  return {"output",
          {{.name = "output",
            .help = "Folder of submission.csv, ensemble.json, thresholds.json and report.html.",
            .is_required = true},
           {.name = "overwrite", .help = "Replace a folder that is not empty."},
           {.name = "values",
            .help = "What the submission's cells hold.",
            .choices = {"probabilities", "labels"}},
           {.name = "rle_order",
            .help = "Pixel order of run-length codes.",
            .choices = {"row", "column"}},
           {.name = "title", .help = "Title of the report."},
           {.name = "threads", .help = "Threads.", .default_text = "one per core"}}};
}

}  // namespace

Command gather_command() {
  return {.name = "gather",
          .summary = "prediction sets -> ensemble, thresholds, submission, report",
          .groups = {input_flags(), method_flags(), output_flags()},
          .examples = {"podium gather --oof=sweeps/s5 --test=sweeps/s5 "
                       "--sample_submission=sample_submission.csv --output=out"},
          .run = run};
}

}  // namespace podium::launcher
