// Batch normalisation over the batches of all real workers. Read next: batch_norm.h.
#pragma once

#include <torch/types.h>

#include <functional>

namespace podium::models {

// Adds a float64 tensor over all workers, in place. Collective.
using SumOverWorkers = std::function<void(torch::Tensor)>;

// Of the normalised values: over all workers.
struct SharedStatistics {
  torch::Tensor mean, variance;  // (C) float64; variance biased
  double count = 0;
};

// Normalises (B, C, H, W) with the statistics of all workers' batches together; the gradient is
// that of the sum of all workers' losses. Collective: all workers, forward and backward in the same
// order. Errors: UsageError when a channel has a single value.
torch::Tensor shared_batch_norm(const torch::Tensor& input, const torch::Tensor& weight,
                                const torch::Tensor& bias, double eps, const SumOverWorkers& sum,
                                SharedStatistics& statistics);

}  // namespace podium::models
