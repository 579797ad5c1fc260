#include "trainer/optimizers/parameter_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace podium::trainer {
namespace {

bool is_exempt(const std::string& name, const torch::Tensor& parameter,
               const GroupOptions& options) {
  if (options.no_decay_for_norms_and_biases && (parameter.dim() <= 1 || name.ends_with(".bias"))) {
    return true;
  }
  return std::any_of(
      options.no_decay_keywords.begin(), options.no_decay_keywords.end(),
      [&name](const std::string& keyword) { return name.find(keyword) != std::string::npos; });
}

// A group with weight decay and one without.
void append_pair(std::vector<ParameterGroup>& groups, const std::string& prefix,
                 double weight_decay, double lr_scale) {
  for (const bool has_decay : {true, false}) {
    ParameterGroup group;
    group.name = prefix + (has_decay ? "decay" : "no_decay");
    group.weight_decay = has_decay ? weight_decay : 0.0;
    group.lr_scale = lr_scale;
    groups.push_back(std::move(group));
  }
}

}  // namespace

std::vector<ParameterGroup> make_parameter_groups(const torch::nn::Module& module,
                                                  const GroupOptions& options) {
  const bool has_layers = options.layer_decay != 1.0;
  std::vector<ParameterGroup> groups;
  if (has_layers) {
    int64_t last = 0;
    for (const auto& [name, layer] : options.layers) last = std::max(last, layer);
    for (int64_t layer = 0; layer <= last; ++layer) {
      const double scale = std::pow(options.layer_decay, static_cast<double>(last - layer));
      append_pair(groups, fmt::format("layer_{}_", layer), options.weight_decay, scale);
    }
  } else {
    append_pair(groups, "", options.weight_decay, 1.0);
  }
  for (const auto& item : module.named_parameters()) {
    if (!item.value().requires_grad()) continue;
    size_t index = is_exempt(item.key(), item.value(), options) ? 1 : 0;
    if (has_layers) {
      const auto layer = options.layers.find(item.key());
      if (layer == options.layers.end()) throw InternalError("no layer for " + item.key());
      index += 2 * static_cast<size_t>(layer->second);
    }
    groups[index].parameter_names.push_back(item.key());
    groups[index].parameters.push_back(item.value());
  }
  if (has_layers) std::erase_if(groups, [](const auto& group) { return group.parameters.empty(); });
  return groups;
}

}  // namespace podium::trainer
