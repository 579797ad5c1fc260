#include "trainer/losses/loss_table.h"

#include <algorithm>

namespace podium::trainer {

using data_shards::Task;

// Each in the file of its name.
std::unique_ptr<Loss> make_bce(const PartSpec& loss);
std::unique_ptr<Loss> make_cross_entropy(const PartSpec& loss);
std::unique_ptr<Loss> make_focal(const PartSpec& loss);
std::unique_ptr<Loss> make_iou_cross_entropy(const PartSpec& loss);

const Table<LossRow>& loss_table() {
  static const Table<LossRow> table(
      "loss", "losses",
      {
          {{.name = "bce",
            .help = "binary cross-entropy: multi-label, where unknown labels count nothing; masks "
                    "of two classes, with one logit whose sigmoid is the second class"},
           {Task::kMultiLabel, Task::kSegmentation},
           MaskLogits::kForeground,
           Activation::kSigmoid,
           make_bce},
          {{.name = "cross_entropy",
            .help = "cross-entropy of the softmax: single label; masks",
            .parameters = Schema().add_float("label_smoothing", 0.0, "", 0, 1,
                                             "share of the uniform target")},
           {Task::kSingleLabel, Task::kSegmentation},
           MaskLogits::kPerClass,
           Activation::kSoftmax,
           make_cross_entropy},
          {{.name = "iou_cross_entropy",
            .help = "iou_weight * (1 - IoU) + ce_weight * cross-entropy: masks",
            .parameters =
                Schema()
                    .add_float("iou_weight", 0.4, "", 0, 1e6, "factor of 1 - IoU")
                    .add_float("ce_weight", 0.6, "", 0, 1e6, "factor of the cross-entropy")},
           {Task::kSegmentation},
           MaskLogits::kPerClass,
           Activation::kSoftmax,
           make_iou_cross_entropy},
          {{.name = "focal",
            .help = "binary cross-entropy that counts what is predicted well less: multi-label; "
                    "masks of two classes, with one logit",
            .parameters =
                Schema()
                    .add_float("gamma", 2.0, "", 0, 100, "power of what the prediction misses")
                    .add_float("alpha", 0.25, "", 0, 1,
                               "weight of positive labels; negative ones weigh 1 - alpha"),
            .since = "0.2"},
           {Task::kMultiLabel, Task::kSegmentation},
           MaskLogits::kForeground,
           Activation::kSigmoid,
           make_focal},
      });
  return table;
}

bool LossRow::fits(Task task, int64_t num_classes) const {
  if (std::find(tasks.begin(), tasks.end(), task) == tasks.end()) return false;
  const bool has_one_logit = task == Task::kSegmentation && mask_logits == MaskLogits::kForeground;
  return !has_one_logit || num_classes == 2;
}

std::vector<std::string> losses_that_fit(Task task, int64_t num_classes) {
  std::vector<std::string> names;
  for (const LossRow& row : loss_table().rows()) {
    if (row.fits(task, num_classes)) names.push_back(row.name);
  }
  return names;
}

}  // namespace podium::trainer
