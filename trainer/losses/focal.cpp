// Focal loss: cross-entropy that counts what is predicted well less.
#include <limits>

#include "trainer/losses/loss.h"
#include "trainer/losses/loss_parts.h"
#include "trainer/losses/loss_table.h"

namespace podium::trainer {
namespace {

// a * (1 - q)^gamma * CE, the mean over what is labelled; q is the probability of the target, CE
// the binary cross-entropy, a is alpha for positive and 1 - alpha for negative targets. Source: Lin
// et al., ICCV 2017, eq. 5; soft targets as torchvision.ops.sigmoid_focal_loss. Differs: the
// gradient stays finite where 1 - q is 0 and gamma below 1.
class Focal : public Loss {
 public:
  Focal(double gamma, double alpha) : gamma_(gamma), alpha_(alpha) {}
  torch::Tensor operator()(const torch::Tensor& logits,
                           const torch::Tensor& targets) const override {
    const BinaryTargets binary = binary_targets("focal", logits, targets);
    const torch::Tensor& y = binary.targets;
    const torch::Tensor p = at::sigmoid(binary.logits);
    const torch::Tensor missed = (1 - (p * y + (1 - p) * (1 - y))).clamp_min(kSmallest);
    const torch::Tensor weights =
        (alpha_ * y + (1 - alpha_) * (1 - y)) * binary.is_counted.to(y.scalar_type());
    const torch::Tensor losses =
        at::binary_cross_entropy_with_logits(binary.logits, y, weights, {}, at::Reduction::None);
    return mean_of_counted((at::pow(missed, gamma_) * losses).sum(), binary.is_counted);
  }

 private:
  static constexpr double kSmallest = std::numeric_limits<float>::min();
  double gamma_, alpha_;
};

}  // namespace

std::unique_ptr<Loss> make_focal(const PartSpec& loss) {
  return std::make_unique<Focal>(loss.get_float("gamma"), loss.get_float("alpha"));
}

}  // namespace podium::trainer
