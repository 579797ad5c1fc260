// The rows, and the keys made of their names.
#include "metrics/metric_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace podium::metrics {
namespace {

constexpr const char* kValidation = "val_";
constexpr const char* kTrainLoss = "train_loss";

constexpr auto kMultiLabel = PredictionTask::kMultiLabel;
constexpr auto kSingleLabel = PredictionTask::kSingleLabel;
constexpr auto kSegmentation = PredictionTask::kSegmentation;

// Who writes a metric.
enum class Writers { kEvaluation, kGather, kBoth };

MetricRow row(std::string name, std::string title, std::string help,
              std::vector<PredictionTask> tasks, Writers writers, std::string flag = "") {
  MetricRow result;
  result.name = std::move(name);
  result.title = std::move(title);
  result.help = std::move(help);
  result.tasks = std::move(tasks);
  result.is_evaluated = writers != Writers::kGather;
  result.is_gathered = writers != Writers::kEvaluation;
  result.flag = std::move(flag);
  return result;
}

std::vector<MetricRow> make_rows() {
  MetricRow loss = row("loss", "loss", "mean over samples of the loss that is trained",
                       {kMultiLabel, kSingleLabel, kSegmentation}, Writers::kEvaluation);
  loss.is_higher_better = false;
  loss.unit = "";
  return {
      row("map", "mAP", "mean average precision over the classes that have a positive",
          {kMultiLabel}, Writers::kBoth, "map"),
      row("accuracy", "accuracy", "share of samples whose largest probability is their class",
          {kSingleLabel}, Writers::kBoth, "accuracy"),
      row("mean_iou_per_image", "mean IoU per image",
          "mean over images of each image's mean IoU over its classes", {kSegmentation},
          Writers::kBoth, "miou"),
      row("mean_iou_global", "mean IoU over all pixels",
          "mean over classes of the IoU over all pixels of all images", {kSegmentation},
          Writers::kBoth, "miou_global"),
      row("mean_iou_per_batch", "mean IoU per batch",
          "mean over batches of the mean IoU of a batch's pixels", {kSegmentation},
          Writers::kEvaluation),
      row("dice", "mean Dice over all pixels",
          "mean over the classes but the first of the Dice over all pixels", {kSegmentation},
          Writers::kEvaluation),
      row("dice_global", "Dice over all pixels",
          "binary masks: Dice of the foreground over all pixels of all images", {kSegmentation},
          Writers::kGather, "dice"),
      row("dice_per_image", "mean Dice per image",
          "binary masks: mean over images of the foreground's Dice", {kSegmentation},
          Writers::kGather, "dice_per_image"),
      row("macro_f1", "macro F1",
          "mean over classes of F1 of the decided class, or at each class's threshold (0.5 in "
          "evaluation)",
          {kMultiLabel, kSingleLabel}, Writers::kBoth, "f1"),
      row("macro_f1_nested", "macro F1, nested",
          "macro F1 where thresholds fitted on the other folds decide each fold", {kMultiLabel},
          Writers::kGather),
      row("macro_f1_in_sample", "macro F1 in sample",
          "macro F1 where thresholds fitted on the same samples decide", {kMultiLabel},
          Writers::kGather),
      row("macro_f1_at_0.5", "macro F1 at 0.5", "macro F1 with 0.5 as every class's threshold",
          {kMultiLabel}, Writers::kGather),
      loss,
  };
}

}  // namespace

bool MetricRow::serves(PredictionTask task) const {
  return std::find(tasks.begin(), tasks.end(), task) != tasks.end();
}

const Table<MetricRow>& metric_table() {
  static const Table<MetricRow> table("metric", "metrics", make_rows());
  return table;
}

std::string validation_key(const std::string& metric) {
  const MetricRow* row = metric_table().find(metric);
  if (row == nullptr || !row->is_evaluated) {
    throw InternalError(fmt::format("metric \"{}\" is no metric of the evaluation", metric));
  }
  return kValidation + metric;
}

const MetricRow* find_metric_of_key(const std::string& key) {
  if (key == kTrainLoss) return metric_table().find("loss");
  if (!key.starts_with(kValidation)) return nullptr;
  const MetricRow* row = metric_table().find(key.substr(std::string(kValidation).size()));
  return row != nullptr && row->is_evaluated ? row : nullptr;
}

std::vector<std::string> metric_keys() {
  std::vector<std::string> keys;
  for (const MetricRow& row : metric_table().rows()) {
    if (row.is_evaluated) keys.push_back(validation_key(row.name));
  }
  keys.emplace_back(kTrainLoss);
  return keys;
}

}  // namespace podium::metrics
