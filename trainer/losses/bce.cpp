// Binary cross-entropy with logits.
#include "trainer/losses/loss.h"
#include "trainer/losses/loss_parts.h"
#include "trainer/losses/loss_table.h"

namespace podium::trainer {
namespace {

// softplus(x) - x * y, the mean over what is labelled.
class BinaryCrossEntropy : public Loss {
 public:
  torch::Tensor operator()(const torch::Tensor& logits,
                           const torch::Tensor& targets) const override {
    const BinaryTargets binary = binary_targets("bce", logits, targets);
    const torch::Tensor losses = at::binary_cross_entropy_with_logits(
        binary.logits, binary.targets, binary.is_counted.to(binary.logits.scalar_type()), {},
        at::Reduction::None);
    return mean_of_counted(losses.sum(), binary.is_counted);
  }
};

}  // namespace

std::unique_ptr<Loss> make_bce(const PartSpec&) { return std::make_unique<BinaryCrossEntropy>(); }

}  // namespace podium::trainer
