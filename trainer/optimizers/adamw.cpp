// Adam with decoupled weight decay.
#include "trainer/optimizers/fused_optimizer.h"
#include "trainer/optimizers/optimizer_table.h"

namespace podium::trainer {
namespace {

class AdamW : public FusedOptimizer {
 public:
  AdamW(const PartSpec& optimizer, std::vector<ParameterGroup> groups)
      : FusedOptimizer("adamw", std::move(groups), {"exp_avg", "exp_avg_sq"}),
        beta1_(optimizer.get_float("beta1")),
        beta2_(optimizer.get_float("beta2")),
        eps_(optimizer.get_float("eps")) {}

 private:
  void step_group(const ParameterGroup& group, const FusedLists& lists, double lr) override {
    at::_fused_adamw_(lists.parameters, lists.gradients, lists.slots[0], lists.slots[1], {},
                      steps_of(lists), lr, beta1_, beta2_, group.weight_decay, eps_,
                      /*amsgrad=*/false, /*maximize=*/false);
  }

  double beta1_, beta2_, eps_;
};

}  // namespace

std::unique_ptr<Optimizer> make_adamw(const PartSpec& optimizer,
                                      std::vector<ParameterGroup> groups) {
  return std::make_unique<AdamW>(optimizer, std::move(groups));
}

}  // namespace podium::trainer
