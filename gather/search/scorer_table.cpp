// The rows, and the choice of one for a task.
#include "gather/search/scorer_table.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "gather/search/priors.h"
#include "gather/search/scoring.h"

namespace podium::gather {
namespace {

ScorerRow row(const std::string& name, std::string class_title, decltype(ScorerRow::create) create,
              decltype(ScorerRow::prior) prior) {
  ScorerRow result;
  result.name = name;
  result.help = metrics::metric_table().at(name).help;
  result.class_title = std::move(class_title);
  result.create = create;
  result.prior = prior;
  return result;
}

std::vector<ScorerRow> make_rows() {
  ScorerRow map = row("map", "Average precision", make_map, map_prior);
  ScorerRow accuracy = row("accuracy", "Accuracy", make_accuracy, accuracy_prior);
  ScorerRow macro_f1 = row("macro_f1", "F1", make_macro_f1, macro_f1_prior);
  ScorerRow dice_global = row("dice_global", "IoU", make_dice_global, mask_prior);
  ScorerRow dice_per_image = row("dice_per_image", "IoU", make_dice_per_image, mask_prior);
  ScorerRow per_image = row("mean_iou_per_image", "IoU", make_mean_iou_per_image, mask_prior);
  ScorerRow global = row("mean_iou_global", "IoU", make_mean_iou_global, mask_prior);
  for (ScorerRow* decided : {&macro_f1, &dice_global, &dice_per_image, &per_image, &global}) {
    decided->is_decided = true;
  }
  dice_global.is_of_binary_masks = dice_per_image.is_of_binary_masks = true;
  dice_per_image.dice = DiceKind::kPerImage;
  return {map, accuracy, macro_f1, dice_global, dice_per_image, per_image, global};
}

}  // namespace

bool ScorerRow::fits(const Samples& samples) const {
  return metric().serves(samples.task) && (!is_of_binary_masks || samples.is_binary_mask());
}

const Table<ScorerRow>& scorer_table() {
  static const Table<ScorerRow> table("metric", "metrics", make_rows());
  return table;
}

std::vector<const ScorerRow*> scorers_of(const Samples& samples) {
  std::vector<const ScorerRow*> fitting;
  for (const ScorerRow& row : scorer_table().rows()) {
    if (row.fits(samples)) fitting.push_back(&row);
  }
  return fitting;
}

const ScorerRow& choose_scorer(const std::string& flag, const Samples& samples) {
  const std::vector<const ScorerRow*> fitting = scorers_of(samples);
  if (flag.empty()) return *fitting.front();
  std::vector<std::string> flags;
  for (const ScorerRow* row : fitting) {
    flags.push_back(row->metric().flag);
    if (flag == flags.back()) return *row;
  }
  throw UsageError(
      fmt::format("--metric={}: does not fit {} predictions of {} classes; expected one of {}{}",
                  flag, task_name(samples.task), samples.num_classes(), join(flags, ", "),
                  did_you_mean(flag, flags)));
}

}  // namespace podium::gather
