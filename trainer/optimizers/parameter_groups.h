// Which parameters an optimizer updates alike. Read next: optimizer.h.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace podium::trainer {

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
  // Layers of all parameters, from 0 (models/interface/layer_numbers.h); needed when layer_decay is
  // not 1.
  std::map<std::string, int64_t> layers = {};
};

// Two groups, "decay" and "no_decay". With layer decay up to two of each layer, "layer_3_decay",
// from the first layer on; layer i of n learns with the lr times layer_decay^(n - 1 - i).
// Parameters that need no gradient are left out, and count for n.
// Errors: InternalError when a parameter has no layer.
std::vector<ParameterGroup> make_parameter_groups(const torch::nn::Module& module,
                                                  const GroupOptions& options);

}  // namespace podium::trainer
