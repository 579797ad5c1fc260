// The losses that a recipe may name, and what each means for a model's logits. To add one: a file
// beside bce.cpp and a row in loss_table.cpp. Compiles without libtorch. Read next: loss.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/recipe/table.h"
#include "data_shards/format/task.h"

namespace podium::trainer {

class Loss;

// Makes probabilities of logits.
enum class Activation { kSigmoid, kSoftmax };

// Of a pixel of a mask. Samples with class labels have one logit per class with any loss.
enum class MaskLogits {
  kPerClass,    // K of them
  kForeground,  // one, that of the second of two classes
};

struct LossRow : PartInfo {
  std::vector<data_shards::Task> tasks{};
  MaskLogits mask_logits = MaskLogits::kPerClass;
  Activation activation = Activation::kSoftmax;
  std::unique_ptr<Loss> (*create)(const PartSpec& loss) = nullptr;

  // Whether it takes the targets of such a data set: masks of one foreground logit have two
  // classes.
  bool fits(data_shards::Task task, int64_t num_classes) const;
};

const Table<LossRow>& loss_table();

// Those that fit, in the order of the table.
std::vector<std::string> losses_that_fit(data_shards::Task task, int64_t num_classes);

}  // namespace podium::trainer
