// The losses, each a small class; the list is at the end.
#include "trainer/losses/loss.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/text.h"
#include "data_shards/format/task.h"

namespace podium::trainer {
namespace {

using data_shards::kIgnoreIndex;
using data_shards::kNoClass;

// Half precision has too few digits for sums over a batch; double stays double.
torch::Tensor widen(const torch::Tensor& logits) {
  return logits.element_size() < 4 ? logits.to(torch::kFloat32) : logits;
}

[[noreturn]] void refuse(const std::string& loss, const torch::Tensor& logits,
                         const torch::Tensor& targets, const std::string& expected) {
  throw DataError(fmt::format(
      "loss {}: logits have shape ({}) and targets ({}), expected {}; check the data set's task "
      "against the model and the loss",
      loss, fmt::join(logits.sizes(), ", "), fmt::join(targets.sizes(), ", "), expected));
}

// True for (B, K, H, W) with (B, H, W).
bool is_map(const torch::Tensor& logits, const torch::Tensor& targets) {
  return logits.dim() == 4 && targets.dim() == 3 && logits.size(0) == targets.size(0) &&
         logits.size(2) == targets.size(1) && logits.size(3) == targets.size(2);
}

// The sum over the counted entries by their number; 0 when none is counted.
torch::Tensor mean_of_counted(const torch::Tensor& sum, const torch::Tensor& is_counted) {
  return sum / is_counted.sum().clamp_min(1).to(sum.scalar_type());
}

// Mean negative log likelihood over the counted targets. Element losses are summed here because the
// reduction inside libtorch's kernel is not deterministic on GPUs.
torch::Tensor mean_cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets,
                                 int64_t ignore_index, double label_smoothing) {
  const torch::Tensor losses = at::cross_entropy_loss(logits, targets, {}, at::Reduction::None,
                                                      ignore_index, label_smoothing);
  return mean_of_counted(losses.sum(), targets != ignore_index);
}

// Binary cross-entropy with logits: softplus(x) - x * y.
class BinaryCrossEntropy : public Loss {
 public:
  torch::Tensor operator()(const torch::Tensor& logits,
                           const torch::Tensor& targets) const override {
    torch::Tensor x = widen(logits);
    torch::Tensor is_counted;
    if (is_map(logits, targets) && logits.size(1) == 1) {
      x = x.squeeze(1);
      is_counted = targets != kIgnoreIndex;
    } else if (logits.dim() == 2 && logits.sizes() == targets.sizes()) {
      // Valid targets lie in [0, 1], so every negative value is kUnknownLabel.
      is_counted = targets >= 0;
    } else {
      refuse("bce", logits, targets, "(B, K) with (B, K), or (B, 1, H, W) with (B, H, W)");
    }
    const torch::Tensor y = targets.to(x.scalar_type()).masked_fill(is_counted.logical_not(), 0);
    const torch::Tensor losses = at::binary_cross_entropy_with_logits(
        x, y, is_counted.to(x.scalar_type()), {}, at::Reduction::None);
    return mean_of_counted(losses.sum(), is_counted);
  }
};

// Cross-entropy of softmax against class indices, or against soft targets that sum to 1.
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
      refuse("cross_entropy", logits, targets,
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
      refuse("iou_cross_entropy", logits, targets, "(B, K, H, W) with (B, H, W)");
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

std::vector<std::string> list_losses() { return {"bce", "cross_entropy", "iou_cross_entropy"}; }

std::unique_ptr<Loss> make_loss(const LossOptions& options) {
  if (options.name == "bce") return std::make_unique<BinaryCrossEntropy>();
  if (options.name == "cross_entropy") {
    return std::make_unique<CrossEntropy>(options.label_smoothing);
  }
  if (options.name == "iou_cross_entropy") {
    return std::make_unique<IouCrossEntropy>(options.iou_weight, options.ce_weight);
  }
  throw UsageError(fmt::format("unknown loss \"{}\"{}; losses are {}", options.name,
                               did_you_mean(options.name, list_losses()),
                               join(list_losses(), ", ")));
}

}  // namespace podium::trainer
