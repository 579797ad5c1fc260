// Optimizers over flat parameter groups, each step one fused call per group. Read next: schedule.h,
// ema.h.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace podium::trainer {

struct OptimizerOptions {
  std::string name = "adamw";  // "sgd", "adam", "adamw"
  double momentum = 0.9;       // sgd
  bool is_nesterov = false;    // sgd
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0.0;  // decoupled in adamw, added to the gradient in sgd and adam
};

// Parameters that share decay and lr factor, in registration order.
struct ParameterGroup {
  std::string name;  // "decay", "no_decay", "layer_3_decay"
  std::vector<std::string> parameter_names;
  std::vector<torch::Tensor> parameters;
  double weight_decay = 0.0;
  double lr_scale = 1.0;
};

// Which parameters share a group.
struct GroupOptions {
  double weight_decay = 0.0;
  bool no_decay_for_norms_and_biases = true;        // parameters of one dimension, and ".bias"
  std::vector<std::string> no_decay_keywords = {};  // nor for names that contain one of these
  double layer_decay = 1.0;  // factor of the lr from a layer to the one before
  // Layers of all parameters, from 0 (models/interface/layer_numbers.h); needed when layer_decay is not 1.
  std::map<std::string, int64_t> layers = {};
};

// Two groups, "decay" and "no_decay". With layer decay up to two of each layer, "layer_3_decay",
// from the first layer on; layer i of n learns with the lr times layer_decay^(n - 1 - i).
// Parameters that need no gradient are left out, and count for n.
// Errors: InternalError when a parameter has no layer.
std::vector<ParameterGroup> make_parameter_groups(const torch::nn::Module& module,
                                                  const GroupOptions& options);

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

std::vector<std::string> list_optimizers();
std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options,
                                          std::vector<ParameterGroup> groups);

// Global L2 norm of all gradients: per-parameter norms in order, then the norm of those, in float32
// on the device. When max_norm > 0 and the norm is larger, gradients are scaled by max_norm / (norm
// + 1e-6) as torch.nn.utils.clip_grad_norm_ does. Returns the norm before clipping.
double clip_grad_norm(const std::vector<ParameterGroup>& groups, double max_norm);

}  // namespace podium::trainer
