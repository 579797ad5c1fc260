#include "trainer/optimizers/clip_grad_norm.h"

#include <torch/types.h>
#include <torch/utils.h>

namespace podium::trainer {
namespace {

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

}  // namespace

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
