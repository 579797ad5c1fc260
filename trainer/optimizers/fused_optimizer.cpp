#include "trainer/optimizers/fused_optimizer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/utils.h>

#include <utility>

#include "base/error.h"

namespace podium::trainer {

FusedOptimizer::FusedOptimizer(std::string name, std::vector<ParameterGroup> groups,
                               std::vector<std::string> slot_names)
    : Optimizer(std::move(groups)), name_(std::move(name)), slot_names_(std::move(slot_names)) {
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

void FusedOptimizer::step(double lr) {
  torch::NoGradGuard no_grad;
  step_.add_(1);
  for (size_t i = 0; i < groups_.size(); ++i) {
    const FusedLists lists = collect(i);
    if (!lists.parameters.empty()) step_group(groups_[i], lists, lr * groups_[i].lr_scale);
  }
}

std::map<std::string, torch::Tensor> FusedOptimizer::state() const {
  std::map<std::string, torch::Tensor> result{{"step", step_}};
  for (size_t i = 0; i < groups_.size(); ++i) {
    for (size_t slot = 0; slot < slot_names_.size(); ++slot) {
      for (size_t p = 0; p < groups_[i].parameters.size(); ++p) {
        result.emplace(slot_names_[slot] + "." + groups_[i].parameter_names[p], slots_[i][slot][p]);
      }
    }
  }
  return result;
}

void FusedOptimizer::load_state(const std::map<std::string, torch::Tensor>& state) {
  const auto wanted = this->state();
  for (const auto& [name, tensor] : wanted) {
    const auto found = state.find(name);
    if (found == state.end()) {
      throw DataError(fmt::format(
          "optimizer {}: state has no \"{}\"; the checkpoint was written with another optimizer or "
          "model",
          name_, name));
    }
    if (found->second.sizes() != tensor.sizes()) {
      throw DataError(fmt::format(
          "optimizer {}: state \"{}\" has shape ({}), expected ({}); the checkpoint was written "
          "with another model",
          name_, name, fmt::join(found->second.sizes(), ", "), fmt::join(tensor.sizes(), ", ")));
    }
  }
  for (const auto& [name, tensor] : state) {
    if (!wanted.contains(name)) {
      throw DataError(
          fmt::format("optimizer {}: state has \"{}\", which nothing here is called; the "
                      "checkpoint was written "
                      "with another optimizer or model",
                      name_, name));
    }
  }
  torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : wanted) tensor.copy_(state.at(name));
}

std::vector<torch::Tensor> FusedOptimizer::steps_of(const FusedLists& lists) const {
  return std::vector<torch::Tensor>(lists.parameters.size(), step_);
}

FusedLists FusedOptimizer::collect(size_t group_index) const {
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

}  // namespace podium::trainer
