// Losses, in float32 whatever the autocast type. Read next: optimizer.h.
#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

namespace podium::trainer {

struct LossOptions {
  std::string name = "bce";      // "bce", "cross_entropy", "iou_cross_entropy"
  double label_smoothing = 0.0;  // cross_entropy
  double iou_weight = 0.4;       // iou_cross_entropy: iou_weight * (1 - IoU) + ce_weight * CE
  double ce_weight = 0.6;
};

// A loss over one micro-batch. Returns a scalar: the mean over the labelled entries (bce), samples
// or pixels.
class Loss {
 public:
  virtual ~Loss() = default;
  // Shapes: bce: logits (B, K), targets (B, K) in [0, 1] or kUnknownLabel (weight 0); also (B, 1,
  // H, W) with masks (B, H, W). cross_entropy: (B, K) with (B) int64 or with soft targets (B, K)
  // that sum to 1, or (B, K, H, W) with (B, H, W) int64, kIgnoreIndex (255) left out.
  // iou_cross_entropy: (B, K, H, W) with (B, H, W).
  // Errors: DataError when shapes do not fit.
  virtual torch::Tensor operator()(const torch::Tensor& logits,
                                   const torch::Tensor& targets) const = 0;
};

std::vector<std::string> list_losses();
// Errors: UsageError with the nearest name.
std::unique_ptr<Loss> make_loss(const LossOptions& options);

}  // namespace podium::trainer
