#include "trainer/optimizers/optimizer.h"

#include "trainer/optimizers/optimizer_table.h"

namespace podium::trainer {

void Optimizer::zero_grad() {
  for (ParameterGroup& group : groups_) {
    for (torch::Tensor& parameter : group.parameters) parameter.mutable_grad() = torch::Tensor();
  }
}

std::unique_ptr<Optimizer> make_optimizer(const PartSpec& optimizer,
                                          std::vector<ParameterGroup> groups) {
  return optimizer_table().at(optimizer.name).create(optimizer, std::move(groups));
}

}  // namespace podium::trainer
