// Soft IoU of the classes of a mask, and cross-entropy.
#include "data_shards/format/task.h"
#include "trainer/losses/loss.h"
#include "trainer/losses/loss_parts.h"
#include "trainer/losses/loss_table.h"

namespace podium::trainer {
namespace {

using data_shards::kIgnoreIndex;

// iou_weight * (1 - soft IoU) + ce_weight * cross-entropy.
// Soft IoU of class k over the counted pixels of the whole micro-batch, p = softmax(logits), y
// one-hot: sum(p y) / max(sum(p) + sum(y) - sum(p y), 1e-7). 1 - IoU is averaged over all K
// classes; a class without a target pixel adds 0. Source: the definition of
// segmentation_models_pytorch 0.6.0, losses.JaccardLoss("multiclass"); the weights 0.4 and 0.6 are
// those of a published litter segmentation system.
class IouCrossEntropy : public Loss {
 public:
  IouCrossEntropy(double iou_weight, double ce_weight)
      : iou_weight_(iou_weight), ce_weight_(ce_weight) {}
  torch::Tensor operator()(const torch::Tensor& logits,
                           const torch::Tensor& targets) const override {
    if (!is_map(logits, targets)) {
      refuse_shapes("iou_cross_entropy", logits, targets, "(B, K, H, W) with (B, H, W)");
    }
    const torch::Tensor x = widen(logits);
    return iou_weight_ * iou_loss(x, targets) +
           ce_weight_ * mean_cross_entropy(x, targets, kIgnoreIndex, 0.0);
  }

 private:
  static torch::Tensor iou_loss(const torch::Tensor& x, const torch::Tensor& targets) {
    constexpr double kEpsilon = 1e-7;
    const torch::Tensor is_counted = (targets != kIgnoreIndex).unsqueeze(1);  // (B, 1, H, W)
    const torch::Tensor p = at::softmax(x, 1) * is_counted;                   // (B, K, H, W)
    const torch::Tensor classes =
        at::arange(x.size(1), targets.options()).view({1, x.size(1), 1, 1});
    // (B, K, H, W): a target of kIgnoreIndex meets a class of that number only where it is not
    // counted.
    const torch::Tensor y = ((targets.unsqueeze(1) == classes) & is_counted).to(x.scalar_type());
    const auto per_class = [](const torch::Tensor& map) { return map.sum({0, 2, 3}); };  // (K)
    const torch::Tensor intersection = per_class(p * y), num_targets = per_class(y);
    const torch::Tensor sum = per_class(p) + num_targets - intersection;
    const torch::Tensor loss = 1 - intersection / sum.clamp_min(kEpsilon);
    return (loss * (num_targets > 0)).mean();
  }

  double iou_weight_, ce_weight_;
};

}  // namespace

std::unique_ptr<Loss> make_iou_cross_entropy(const PartSpec& loss) {
  return std::make_unique<IouCrossEntropy>(loss.get_float("iou_weight"),
                                           loss.get_float("ce_weight"));
}

}  // namespace podium::trainer
