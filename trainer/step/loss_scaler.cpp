// Scaling, and how the scale grows and shrinks.
#include "trainer/step/loss_scaler.h"

#include <fmt/format.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "base/error.h"

namespace podium::trainer {
namespace {

constexpr const char* kScale = "loss_scale.scale";
constexpr const char* kGrowthTracker = "loss_scale.growth_tracker";

}  // namespace

LossScaler::LossScaler(torch::Device device, LossScalerOptions options)
    : options_(options),
      scale_(torch::full({}, options.initial_scale, torch::dtype(torch::kFloat32).device(device))),
      growth_tracker_(torch::zeros({}, torch::dtype(torch::kInt32).device(device))) {}

bool LossScaler::unscale(const std::vector<ParameterGroup>& groups) {
  const torch::NoGradGuard no_gradients;
  torch::Tensor found_inf = torch::zeros({1}, scale_.options());
  const torch::Tensor inverse = scale_.reciprocal();
  for (const ParameterGroup& group : groups) {
    std::vector<torch::Tensor> gradients;
    for (const torch::Tensor& parameter : group.parameters) {
      if (parameter.grad().defined()) gradients.push_back(parameter.grad());
    }
    if (gradients.empty()) continue;
    at::_amp_foreach_non_finite_check_and_unscale_(gradients, found_inf, inverse);
  }
  torch::Tensor scale = scale_, tracker = growth_tracker_;
  at::_amp_update_scale_(scale, tracker, found_inf, options_.growth_factor, options_.backoff_factor,
                         options_.growth_interval);
  return found_inf.item<float>() == 0;
}

std::map<std::string, torch::Tensor> LossScaler::state() const {
  return {{kScale, scale_}, {kGrowthTracker, growth_tracker_}};
}

void LossScaler::load_state(const std::map<std::string, torch::Tensor>& state) {
  const auto wanted = this->state();
  for (const auto& [name, tensor] : state) {
    if (wanted.contains(name)) continue;
    throw DataError(fmt::format(
        "loss scale: state has \"{}\", which nothing here is called; take another checkpoint",
        name));
  }
  const torch::NoGradGuard no_gradients;
  for (const auto& [name, target] : wanted) {
    const auto found = state.find(name);
    if (found == state.end()) {
      throw DataError(
          fmt::format("loss scale: \"{}\" is missing; the checkpoint was written without "
                      "train.precision: fp16",
                      name));
    }
    target.copy_(found->second);
  }
}

}  // namespace podium::trainer
