// Forward and backward of the normalisation over all workers: two small sums each way.
#include "models/layers/batch_norm_sync.h"

#include <fmt/format.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "base/error.h"

namespace podium::models {
namespace {

using torch::Tensor;
using torch::autograd::variable_list;

constexpr std::array<int64_t, 3> kAllButChannels = {0, 2, 3};

Tensor per_channel(const Tensor& values) { return values.to(torch::kFloat32).view({1, -1, 1, 1}); }

// (2, C) float64 over all workers.
Tensor shared_sums(const Tensor& first, const Tensor& second, const SumOverWorkers& sum) {
  const Tensor sums = torch::stack({first.to(torch::kFloat64), second.to(torch::kFloat64)});
  sum(sums);
  return sums;
}

struct Shared {
  SumOverWorkers sum;
  SharedStatistics statistics;
};

void measure(const Tensor& input, Shared& shared) {
  const double local_count = static_cast<double>(input.numel() / input.size(1));
  const Tensor count = torch::full({1}, local_count, torch::dtype(torch::kFloat64));
  const Tensor device_count = count.to(input.device());
  shared.sum(device_count);
  shared.statistics.count = device_count.item<double>();
  if (shared.statistics.count < 2) {
    throw UsageError(fmt::format(
        "batch norm over {} channels: one value per channel in training, expected at least 2; use "
        "a larger micro_batch_size or larger images",
        input.size(1)));
  }
  // Squares around the own mean, so that a large mean does not swallow the variance.
  const Tensor mean = input.mean(kAllButChannels).to(torch::kFloat64);
  const Tensor deviations =
      (input - per_channel(mean)).square().sum(kAllButChannels).to(torch::kFloat64);
  const Tensor sums =
      shared_sums(mean * local_count, deviations + mean.square() * local_count, shared.sum);
  shared.statistics.mean = sums[0] / shared.statistics.count;
  shared.statistics.variance =
      (sums[1] / shared.statistics.count - shared.statistics.mean.square()).clamp_min(0);
}

// An own node: an autograd::Function's context cannot carry a callable.
struct SharedNormBackward : torch::autograd::Node {
  variable_list apply(variable_list&& gradients) override {
    const torch::NoGradGuard no_grad;
    const Tensor gradient = gradients.at(0).to(torch::kFloat32);
    const Tensor to_bias = gradient.sum(kAllButChannels);
    const Tensor to_weight = (gradient * normalised).sum(kAllButChannels);
    const Tensor means = shared_sums(to_bias, to_weight, shared->sum) / shared->statistics.count;
    const Tensor centred = gradient - per_channel(means[0]) - normalised * per_channel(means[1]);
    const Tensor to_input = centred * per_channel(weight) * per_channel(inverse_deviation);
    return {to_input.to(input_type), to_weight, to_bias};
  }
  std::string name() const override { return "SharedNormBackward"; }
  void release_variables() override { normalised = weight = inverse_deviation = Tensor(); }

  std::shared_ptr<Shared> shared;
  Tensor normalised, weight, inverse_deviation;
  torch::ScalarType input_type = torch::kFloat32;
};

}  // namespace

Tensor shared_batch_norm(const Tensor& input, const Tensor& weight, const Tensor& bias, double eps,
                         const SumOverWorkers& sum, SharedStatistics& statistics) {
  const auto shared = std::make_shared<Shared>(Shared{sum, {}});
  Tensor output, normalised, inverse_deviation;
  {
    const torch::NoGradGuard no_grad;
    const Tensor values = input.to(torch::kFloat32);
    measure(values, *shared);
    statistics = shared->statistics;
    inverse_deviation = (statistics.variance + eps).rsqrt();
    normalised = (values - per_channel(statistics.mean)) * per_channel(inverse_deviation);
    output = (normalised * per_channel(weight) + per_channel(bias)).to(input.scalar_type());
  }
  if (torch::autograd::compute_requires_grad(input, weight, bias)) {
    const auto node =
        std::shared_ptr<SharedNormBackward>(new SharedNormBackward, torch::autograd::deleteNode);
    node->shared = shared;
    node->normalised = normalised;
    node->weight = weight.detach();
    node->inverse_deviation = inverse_deviation;
    node->input_type = input.scalar_type();
    node->set_next_edges(torch::autograd::collect_next_edges(input, weight, bias));
    torch::autograd::set_history(output, node);
  }
  return output;
}

}  // namespace podium::models
