// Stochastic gradient descent with momentum.
#include <fmt/format.h>

#include "base/error.h"
#include "trainer/optimizers/fused_optimizer.h"
#include "trainer/optimizers/optimizer_table.h"

namespace podium::trainer {
namespace {

class Sgd : public FusedOptimizer {
 public:
  Sgd(double momentum, bool is_nesterov, std::vector<ParameterGroup> groups)
      : FusedOptimizer(
            "sgd", std::move(groups),
            momentum != 0 ? std::vector<std::string>{"momentum"} : std::vector<std::string>{}),
        momentum_(momentum),
        is_nesterov_(is_nesterov) {}

 private:
  void step_group(const ParameterGroup& group, const FusedLists& lists, double lr) override {
    const std::vector<torch::Tensor> buffers =
        lists.slots.empty() ? std::vector<torch::Tensor>{} : lists.slots[0];
    // Without dampening a buffer of zeros is as good as none: the first step needs no case of its
    // own.
    at::_fused_sgd_(lists.parameters, lists.gradients, buffers, group.weight_decay, momentum_, lr,
                    /*dampening=*/0.0, is_nesterov_, /*maximize=*/false, /*is_first_step=*/false);
  }

  double momentum_;
  bool is_nesterov_;
};

}  // namespace

std::unique_ptr<Optimizer> make_sgd(const PartSpec& optimizer, std::vector<ParameterGroup> groups) {
  const double momentum = optimizer.get_float("momentum");
  const bool is_nesterov = optimizer.get_bool("nesterov");
  if (is_nesterov && momentum <= 0) {
    throw UsageError(fmt::format(
        "optimizer sgd: nesterov with momentum {}, expected a momentum above 0", momentum));
  }
  return std::make_unique<Sgd>(momentum, is_nesterov, std::move(groups));
}

}  // namespace podium::trainer
