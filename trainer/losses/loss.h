// Losses, in float32 whatever the autocast type. Which there are, and what each serves:
// loss_table.h. Read next: bce.cpp, the smallest.
#pragma once

#include <torch/types.h>

#include <memory>

#include "base/recipe/part.h"

namespace podium::trainer {

// A loss over one micro-batch. Returns a scalar: the mean over the labelled entries, samples or
// pixels.
class Loss {
 public:
  virtual ~Loss() = default;
  // Shapes, of the tasks that its row serves: multi-label: logits (B, K), targets (B, K) in [0, 1]
  // or kUnknownLabel (weight 0). Single label: (B, K) with (B) int64, or with soft targets (B, K)
  // that sum to 1. Masks: (B, K, H, W), or (B, 1, H, W) with one logit for the foreground, with (B,
  // H, W) int64, kIgnoreIndex (255) left out. Errors: DataError when shapes do not fit.
  virtual torch::Tensor operator()(const torch::Tensor& logits,
                                   const torch::Tensor& targets) const = 0;
};

// The loss of this name with the values of its own keys. Errors: UsageError with the nearest name.
std::unique_ptr<Loss> make_loss(const PartSpec& loss);

}  // namespace podium::trainer
