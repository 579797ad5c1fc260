// The catalogue of metrics against what evaluation and gather write: no name is missing there, and
// none stands there that nobody writes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "gather/gather.h"
#include "gather/search/scorer_table.h"
#include "metrics/metric_table.h"
#include "trainer/evaluate/evaluate_records.h"

namespace podium {
namespace {

namespace fs = std::filesystem;
using data_shards::Task;
using metrics::MetricRow;
using metrics::PredictionSet;
using metrics::PredictionTask;
using Names = std::set<std::string>;

Names names_where(const std::function<bool(const MetricRow&)>& is_meant) {
  Names names;
  for (const MetricRow& row : metrics::metric_table().rows()) {
    if (is_meant(row)) names.insert(row.name);
  }
  return names;
}

trainer::ClassInfo info_of(Task task) {
  trainer::ClassInfo info;
  info.task = task;
  info.classes = {"a", "b"};
  return info;
}

TEST(MetricNames, EvaluationWritesTheCataloguesAndNoOthers) {
  trainer::EvaluationRecords records;
  records.indices = {0, 1};
  records.probabilities = {0.6f, 0.4f, 0.3f, 0.7f};
  records.class_vectors = {1, 0, 0, 1};
  records.class_indices = {0, 1};
  records.confusions = {2, 0, 1, 1, 3, 1, 0, 0};
  records.batch_numbers = {0};
  records.batch_sizes = {2};
  records.batch_losses = {0.5};
  Names keys;
  for (const Task task : {Task::kMultiLabel, Task::kSingleLabel, Task::kSegmentation}) {
    for (const auto& [key, value] : trainer::metrics_of(records, info_of(task), true, true, 2)) {
      keys.insert(key);
      ASSERT_NE(metrics::find_metric_of_key(key), nullptr) << key;
      EXPECT_TRUE(metrics::find_metric_of_key(key)->serves(static_cast<PredictionTask>(task)))
          << key;
    }
  }
  Names expected;
  for (const std::string& name : names_where([](const MetricRow& row) { return row.is_evaluated; }))
    expected.insert(metrics::validation_key(name));
  EXPECT_EQ(keys, expected);
}

PredictionSet set_of(PredictionTask task) {
  PredictionSet set;
  set.task = task;
  set.name = set.model_group = "model";
  set.classes = {"a", "b"};
  set.keys = {"w", "x", "y", "z"};
  if (task == PredictionTask::kSegmentation) {
    set.mask_heights = set.mask_widths = {1, 1, 1, 1};
    set.mask_probabilities = {9, 8, 7, 6, 5, 4, 3, 2};
    set.mask_targets = {0, 1, 0, 1};
    return set;
  }
  set.probabilities = {0.6f, 0.4f, 0.3f, 0.7f, 0.8f, 0.2f, 0.1f, 0.9f};
  if (task == PredictionTask::kMultiLabel) set.targets = {1, 0, 0, 1, 1, 0, 1, 1};
  if (task == PredictionTask::kSingleLabel) set.class_targets = {0, 1, 0, 1};
  return set;
}

TEST(MetricNames, GatherWritesTheCataloguesAndNoOthers) {
  const fs::path root =
      fs::path(testing::TempDir()) / ("podium_metric_names" + std::to_string(::getpid()));
  Names names;
  for (const gather::ScorerRow& row : gather::scorer_table().rows()) {
    for (const PredictionTask task : row.metric().tasks) {
      fs::remove_all(root);
      set_of(task).save(root / "set");
      gather::GatherOptions options;
      options.oof = {root / "set"};
      options.output = root / "out";
      options.metric = row.metric().flag;
      options.bootstrap_replicates = 1;
      gather::gather(options);
      const auto scores = nlohmann::json::parse(read_file(root / "out" / "scores.json"));
      EXPECT_EQ(scores["metric"], row.name);
      names.insert(scores["metric"]);
      for (const auto& [name, value] : scores["ensemble"]["other"].items()) names.insert(name);
    }
  }
  fs::remove_all(root);
  EXPECT_EQ(names, names_where([](const MetricRow& row) { return row.is_gathered; }));
}

TEST(MetricNames, OnlyTheLossIsBetterWhenLower) {
  EXPECT_EQ(names_where([](const MetricRow& row) { return !row.is_higher_better; }),
            Names({"loss"}));
  EXPECT_FALSE(metrics::find_metric_of_key("train_loss")->is_higher_better);
  EXPECT_EQ(metrics::find_metric_of_key("val_dice_global"), nullptr) << "gather's, not a run's";
  for (const MetricRow& row : metrics::metric_table().rows()) {
    EXPECT_FALSE(row.title.empty() || row.help.empty() || row.tasks.empty()) << row.name;
  }
}

}  // namespace
}  // namespace podium
