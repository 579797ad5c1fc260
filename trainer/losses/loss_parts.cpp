#include "trainer/losses/loss_parts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "data_shards/format/task.h"

namespace podium::trainer {

torch::Tensor widen(const torch::Tensor& logits) {
  return logits.element_size() < 4 ? logits.to(torch::kFloat32) : logits;
}

bool is_map(const torch::Tensor& logits, const torch::Tensor& targets) {
  return logits.dim() == 4 && targets.dim() == 3 && logits.size(0) == targets.size(0) &&
         logits.size(2) == targets.size(1) && logits.size(3) == targets.size(2);
}

torch::Tensor mean_of_counted(const torch::Tensor& sum, const torch::Tensor& is_counted) {
  return sum / is_counted.sum().clamp_min(1).to(sum.scalar_type());
}

// Element losses are summed here because the reduction inside libtorch's kernel is not
// deterministic on GPUs.
torch::Tensor mean_cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets,
                                 int64_t ignore_index, double label_smoothing) {
  const torch::Tensor losses = at::cross_entropy_loss(logits, targets, {}, at::Reduction::None,
                                                      ignore_index, label_smoothing);
  return mean_of_counted(losses.sum(), targets != ignore_index);
}

BinaryTargets binary_targets(const std::string& loss, const torch::Tensor& logits,
                             const torch::Tensor& targets) {
  BinaryTargets result;
  result.logits = widen(logits);
  if (is_map(logits, targets) && logits.size(1) == 1) {
    result.logits = result.logits.squeeze(1);
    result.is_counted = targets != data_shards::kIgnoreIndex;
  } else if (logits.dim() == 2 && logits.sizes() == targets.sizes()) {
    // Valid targets lie in [0, 1], so every negative value is kUnknownLabel.
    result.is_counted = targets >= 0;
  } else {
    refuse_shapes(loss, logits, targets, "(B, K) with (B, K), or (B, 1, H, W) with (B, H, W)");
  }
  result.targets =
      targets.to(result.logits.scalar_type()).masked_fill(result.is_counted.logical_not(), 0);
  return result;
}

void refuse_shapes(const std::string& loss, const torch::Tensor& logits,
                   const torch::Tensor& targets, const std::string& expected) {
  throw DataError(fmt::format(
      "loss {}: logits have shape ({}) and targets ({}), expected {}; check the data set's task "
      "against the model and the loss",
      loss, fmt::join(logits.sizes(), ", "), fmt::join(targets.sizes(), ", "), expected));
}

}  // namespace podium::trainer
