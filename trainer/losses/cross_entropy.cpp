// Cross-entropy of softmax.
#include "data_shards/format/task.h"
#include "trainer/losses/loss.h"
#include "trainer/losses/loss_parts.h"
#include "trainer/losses/loss_table.h"

namespace podium::trainer {
namespace {

using data_shards::kIgnoreIndex;
using data_shards::kNoClass;

// Against class indices, or against soft targets that sum to 1.
class CrossEntropy : public Loss {
 public:
  explicit CrossEntropy(double label_smoothing) : label_smoothing_(label_smoothing) {}
  torch::Tensor operator()(const torch::Tensor& logits,
                           const torch::Tensor& targets) const override {
    if (logits.dim() == 2 && logits.sizes() == targets.sizes() && targets.is_floating_point()) {
      return at::cross_entropy_loss(widen(logits), targets, {}, at::Reduction::None, -100,
                                    label_smoothing_)
          .mean();
    }
    const bool is_segmentation = is_map(logits, targets);
    const bool is_classification =
        logits.dim() == 2 && targets.dim() == 1 && logits.size(0) == targets.size(0);
    if (!is_segmentation && !is_classification) {
      refuse_shapes("cross_entropy", logits, targets,
                    "(B, K) with (B) or floats (B, K), or (B, K, H, W) with (B, H, W)");
    }
    // A classification may have more than 255 classes; there the mark of a missing label is
    // another.
    return mean_cross_entropy(widen(logits), targets, is_segmentation ? kIgnoreIndex : kNoClass,
                              label_smoothing_);
  }

 private:
  double label_smoothing_;
};

}  // namespace

std::unique_ptr<Loss> make_cross_entropy(const PartSpec& loss) {
  return std::make_unique<CrossEntropy>(loss.get_float("label_smoothing"));
}

}  // namespace podium::trainer
