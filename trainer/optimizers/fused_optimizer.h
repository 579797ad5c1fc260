// What the optimizers over libtorch's fused kernels share; the kernels' arithmetic is that of
// torch.optim with fused=True. Read next: sgd.cpp.
#pragma once

#include <torch/types.h>

#include <map>
#include <string>
#include <vector>

#include "trainer/optimizers/optimizer.h"

namespace podium::trainer {

// The parameters of one group that have a gradient, with one list per state tensor, as the fused
// kernels take them.
struct FusedLists {
  std::vector<torch::Tensor> parameters, gradients;
  std::vector<std::vector<torch::Tensor>> slots;
};

// Named state tensors ("slots"), each shaped like its parameter, and the number of steps. A step is
// one fused call per group.
class FusedOptimizer : public Optimizer {
 public:
  // `name` is for messages.
  FusedOptimizer(std::string name, std::vector<ParameterGroup> groups,
                 std::vector<std::string> slot_names);
  void step(double lr) override;
  std::map<std::string, torch::Tensor> state() const override;
  void load_state(const std::map<std::string, torch::Tensor>& state) override;

 protected:
  virtual void step_group(const ParameterGroup& group, const FusedLists& lists, double lr) = 0;
  // One counter for all parameters: one without a gradient in some step counts that step too.
  std::vector<torch::Tensor> steps_of(const FusedLists& lists) const;

 private:
  FusedLists collect(size_t group_index) const;

  std::string name_;
  std::vector<std::string> slot_names_;
  std::vector<std::vector<std::vector<torch::Tensor>>> slots_;  // [group][slot][parameter]
  torch::Tensor step_;
};

}  // namespace podium::trainer
