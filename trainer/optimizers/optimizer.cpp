// SGD, Adam and AdamW over libtorch's fused kernels; their arithmetic is that of torch.optim with
// fused=True.
#include "trainer/optimizers/optimizer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text.h"

namespace podium::trainer {
namespace {

// The parameters of one group that have a gradient, with one list per state tensor, as the fused
// kernels take them.
struct FusedLists {
  std::vector<torch::Tensor> parameters, gradients;
  std::vector<std::vector<torch::Tensor>> slots;
};

// Shared by all: named state tensors ("slots"), each shaped like its parameter, and the number of
// steps.
class FusedOptimizer : public Optimizer {
 public:
  FusedOptimizer(OptimizerOptions options, std::vector<ParameterGroup> groups,
                 std::vector<std::string> slot_names)
      : Optimizer(std::move(groups)),
        options_(std::move(options)),
        slot_names_(std::move(slot_names)) {
    torch::NoGradGuard no_grad;
    torch::Device device = torch::kCPU;
    for (const ParameterGroup& group : groups_) {
      std::vector<std::vector<torch::Tensor>> slots(slot_names_.size());
      for (auto& slot : slots) {
        for (const torch::Tensor& parameter : group.parameters) {
          slot.push_back(torch::zeros_like(parameter));
          device = parameter.device();
        }
      }
      slots_.push_back(std::move(slots));
    }
    // float32 on the device: what the fused kernels read. Exact up to 2^24 steps.
    step_ = torch::zeros({}, torch::dtype(torch::kFloat32).device(device));
  }

  void step(double lr) override {
    torch::NoGradGuard no_grad;
    step_.add_(1);
    for (size_t i = 0; i < groups_.size(); ++i) {
      const FusedLists lists = collect(i);
      if (!lists.parameters.empty()) step_group(groups_[i], lists, lr * groups_[i].lr_scale);
    }
  }

  std::map<std::string, torch::Tensor> state() const override {
    std::map<std::string, torch::Tensor> result{{"step", step_}};
    for (size_t i = 0; i < groups_.size(); ++i) {
      for (size_t slot = 0; slot < slot_names_.size(); ++slot) {
        for (size_t p = 0; p < groups_[i].parameters.size(); ++p) {
          result.emplace(slot_names_[slot] + "." + groups_[i].parameter_names[p],
                         slots_[i][slot][p]);
        }
      }
    }
    return result;
  }

  void load_state(const std::map<std::string, torch::Tensor>& state) override;

 protected:
  virtual void step_group(const ParameterGroup& group, const FusedLists& lists, double lr) = 0;

  // One counter for all parameters: one without a gradient in some step counts that step too.
  std::vector<torch::Tensor> steps_of(const FusedLists& lists) const {
    return std::vector<torch::Tensor>(lists.parameters.size(), step_);
  }
  const OptimizerOptions& options() const { return options_; }

 private:
  FusedLists collect(size_t group_index) const {
    FusedLists lists;
    lists.slots.resize(slot_names_.size());
    const ParameterGroup& group = groups_[group_index];
    for (size_t p = 0; p < group.parameters.size(); ++p) {
      const torch::Tensor& gradient = group.parameters[p].grad();
      if (!gradient.defined()) continue;
      lists.parameters.push_back(group.parameters[p]);
      lists.gradients.push_back(gradient);
      for (size_t slot = 0; slot < slot_names_.size(); ++slot) {
        lists.slots[slot].push_back(slots_[group_index][slot][p]);
      }
    }
    return lists;
  }

  OptimizerOptions options_;
  std::vector<std::string> slot_names_;
  std::vector<std::vector<std::vector<torch::Tensor>>> slots_;  // [group][slot][parameter]
  torch::Tensor step_;
};

void FusedOptimizer::load_state(const std::map<std::string, torch::Tensor>& state) {
  const auto wanted = this->state();
  for (const auto& [name, tensor] : wanted) {
    const auto found = state.find(name);
    if (found == state.end()) {
      throw DataError(fmt::format(
          "optimizer {}: state has no \"{}\"; the checkpoint was written with another optimizer or "
          "model",
          options_.name, name));
    }
    if (found->second.sizes() != tensor.sizes()) {
      throw DataError(fmt::format(
          "optimizer {}: state \"{}\" has shape ({}), expected ({}); the checkpoint was written "
          "with another model",
          options_.name, name, fmt::join(found->second.sizes(), ", "),
          fmt::join(tensor.sizes(), ", ")));
    }
  }
  for (const auto& [name, tensor] : state) {
    if (!wanted.contains(name)) {
      throw DataError(
          fmt::format("optimizer {}: state has \"{}\", which nothing here is called; the "
                      "checkpoint was written "
                      "with another optimizer or model",
                      options_.name, name));
    }
  }
  torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : wanted) tensor.copy_(state.at(name));
}

class Sgd : public FusedOptimizer {
 public:
  Sgd(const OptimizerOptions& options, std::vector<ParameterGroup> groups)
      : FusedOptimizer(options, std::move(groups),
                       options.momentum != 0 ? std::vector<std::string>{"momentum"}
                                             : std::vector<std::string>{}) {}

 private:
  void step_group(const ParameterGroup& group, const FusedLists& lists, double lr) override {
    const std::vector<torch::Tensor> buffers =
        lists.slots.empty() ? std::vector<torch::Tensor>{} : lists.slots[0];
    // Without dampening a buffer of zeros is as good as none: the first step needs no case of its
    // own.
    at::_fused_sgd_(lists.parameters, lists.gradients, buffers, group.weight_decay,
                    options().momentum, lr, /*dampening=*/0.0, options().is_nesterov,
                    /*maximize=*/false, /*is_first_step=*/false);
  }
};

class Adam : public FusedOptimizer {
 public:
  Adam(const OptimizerOptions& options, std::vector<ParameterGroup> groups)
      : FusedOptimizer(options, std::move(groups), {"exp_avg", "exp_avg_sq"}) {}

 private:
  void step_group(const ParameterGroup& group, const FusedLists& lists, double lr) override {
    at::_fused_adam_(lists.parameters, lists.gradients, lists.slots[0], lists.slots[1], {},
                     steps_of(lists), lr, options().beta1, options().beta2, group.weight_decay,
                     options().eps, /*amsgrad=*/false, /*maximize=*/false);
  }
};

class AdamW : public FusedOptimizer {
 public:
  AdamW(const OptimizerOptions& options, std::vector<ParameterGroup> groups)
      : FusedOptimizer(options, std::move(groups), {"exp_avg", "exp_avg_sq"}) {}

 private:
  void step_group(const ParameterGroup& group, const FusedLists& lists, double lr) override {
    at::_fused_adamw_(lists.parameters, lists.gradients, lists.slots[0], lists.slots[1], {},
                      steps_of(lists), lr, options().beta1, options().beta2, group.weight_decay,
                      options().eps, /*amsgrad=*/false, /*maximize=*/false);
  }
};

// Norms of runs of kRun elements.
torch::Tensor norms_of_runs(const torch::Tensor& flat) {
  constexpr int64_t kRun = 1024;
  const int64_t num_whole = flat.numel() / kRun, rest = flat.numel() % kRun;
  std::vector<torch::Tensor> norms;
  if (num_whole > 0) {
    const torch::Tensor runs = flat.narrow(0, 0, num_whole * kRun).view({num_whole, kRun});
    norms.push_back(at::linalg_vector_norm(runs, 2, at::OptionalIntArrayRef({1})));
  }
  if (rest > 0) {
    const torch::Tensor tail = flat.narrow(0, num_whole * kRun, rest);
    norms.push_back(at::linalg_vector_norm(tail).view({1}));
  }
  return norms.size() == 1 ? norms[0] : at::cat(norms);
}

// libtorch splits the sum of a long tensor by the number of threads. Here each run is summed by
// one, so the result does not depend on how many there are; short sums also lose less in float32.
// Returns a scalar.
torch::Tensor norm_of(const torch::Tensor& gradient) {
  torch::Tensor norms = gradient.reshape({-1});
  while (norms.numel() > 1) norms = norms_of_runs(norms);
  return norms.abs().squeeze(0);
}

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

void Optimizer::zero_grad() {
  for (ParameterGroup& group : groups_) {
    for (torch::Tensor& parameter : group.parameters) parameter.mutable_grad() = torch::Tensor();
  }
}

std::vector<std::string> list_optimizers() { return {"adam", "adamw", "sgd"}; }

std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options,
                                          std::vector<ParameterGroup> groups) {
  if (options.name == "sgd") {
    if (options.is_nesterov && options.momentum <= 0) {
      throw UsageError(
          fmt::format("optimizer sgd: nesterov with momentum {}, expected a momentum above 0",
                      options.momentum));
    }
    return std::make_unique<Sgd>(options, std::move(groups));
  }
  if (options.name == "adam") return std::make_unique<Adam>(options, std::move(groups));
  if (options.name == "adamw") return std::make_unique<AdamW>(options, std::move(groups));
  throw UsageError(fmt::format("unknown optimizer \"{}\"{}; optimizers are {}", options.name,
                               did_you_mean(options.name, list_optimizers()),
                               join(list_optimizers(), ", ")));
}

double clip_grad_norm(const std::vector<ParameterGroup>& groups, double max_norm) {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> gradients, norms;
  for (const ParameterGroup& group : groups) {
    for (const torch::Tensor& parameter : group.parameters) {
      if (!parameter.grad().defined() || parameter.grad().numel() == 0) continue;
      gradients.push_back(parameter.grad());
      norms.push_back(norm_of(parameter.grad()));
    }
  }
  if (norms.empty()) return 0.0;
  const double norm = norm_of(at::stack(norms)).item<double>();
  if (max_norm > 0 && norm > max_norm) {
    at::_foreach_mul_(gradients, max_norm / (norm + 1e-6));
  }
  return norm;
}

}  // namespace podium::trainer
