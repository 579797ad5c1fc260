// The moving average of a module's parameters and the copy of its buffers.
#include "trainer/step/ema.h"

#include <fmt/format.h>

#include "base/error.h"

namespace podium::trainer {
namespace {

// Parameters, then buffers; the order of the averages.
std::vector<torch::Tensor> values_of(const torch::nn::Module& module) {
  std::vector<torch::Tensor> values = module.parameters();
  const std::vector<torch::Tensor> buffers = module.buffers();
  values.insert(values.end(), buffers.begin(), buffers.end());
  return values;
}

}  // namespace

Ema::Ema(const torch::nn::Module& module, double decay) : decay_(decay) {
  for (const auto& item : module.named_parameters()) {
    names_.push_back(item.key());
    averages_.push_back(item.value().detach().clone());
    is_buffer_.push_back(false);
  }
  for (const auto& item : module.named_buffers()) {
    names_.push_back(item.key());
    averages_.push_back(item.value().detach().clone());
    is_buffer_.push_back(true);
  }
}

void Ema::update(const torch::nn::Module& module) {
  torch::NoGradGuard no_grad;
  const std::vector<torch::Tensor> values = values_of(module);
  const auto num_parameters = std::count(is_buffer_.begin(), is_buffer_.end(), false);
  const at::TensorList averages(averages_), now(values);
  const auto num = static_cast<size_t>(num_parameters);
  at::_foreach_lerp_(averages.slice(0, num), now.slice(0, num), 1 - decay_);
  for (size_t i = num; i < values.size(); ++i) averages_[i].copy_(values[i]);
}

void Ema::swap(torch::nn::Module& module) {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> values = values_of(module);
  for (size_t i = 0; i < values.size(); ++i) {
    const torch::Tensor average = averages_[i].clone();
    averages_[i].copy_(values[i]);
    values[i].copy_(average);
  }
}

std::map<std::string, torch::Tensor> Ema::state() const {
  std::map<std::string, torch::Tensor> result;
  for (size_t i = 0; i < names_.size(); ++i) result.emplace(names_[i], averages_[i]);
  return result;
}

void Ema::load_state(const std::map<std::string, torch::Tensor>& state) {
  for (size_t i = 0; i < names_.size(); ++i) {
    const auto found = state.find(names_[i]);
    if (found == state.end() || found->second.sizes() != averages_[i].sizes()) {
      throw DataError(fmt::format(
          "weight averages: \"{}\" is {}; the checkpoint was written with another model", names_[i],
          found == state.end() ? "missing" : "of another shape"));
    }
  }
  if (state.size() != names_.size()) {
    throw DataError(
        fmt::format("weight averages: found {} names, expected {}; the checkpoint was written with "
                    "another model",
                    state.size(), names_.size()));
  }
  torch::NoGradGuard no_grad;
  for (size_t i = 0; i < names_.size(); ++i) averages_[i].copy_(state.at(names_[i]));
}

}  // namespace podium::trainer
