// Optimizers over flat parameter groups. Which there are: optimizer_table.h. Read next: sgd.cpp,
// the smallest; clip_grad_norm.h.
#pragma once

#include <torch/types.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/recipe/part.h"
#include "trainer/optimizers/parameter_groups.h"

namespace podium::trainer {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // One update with learning rate `lr` (times each group's lr_scale) from parameter.grad().
  virtual void step(double lr) = 0;
  // State by name ("exp_avg.layer1.0.conv1.weight", "step"), for checkpoints; load checks names and
  // shapes (DataError).
  virtual std::map<std::string, torch::Tensor> state() const = 0;
  virtual void load_state(const std::map<std::string, torch::Tensor>& state) = 0;
  const std::vector<ParameterGroup>& groups() const { return groups_; }
  void zero_grad();  // gradients become undefined

 protected:
  explicit Optimizer(std::vector<ParameterGroup> groups) : groups_(std::move(groups)) {}
  std::vector<ParameterGroup> groups_;
};

// The optimizer of this name with the values of its own keys. Errors: UsageError with the nearest
// name, or when the values do not go together.
std::unique_ptr<Optimizer> make_optimizer(const PartSpec& optimizer,
                                          std::vector<ParameterGroup> groups);

}  // namespace podium::trainer
