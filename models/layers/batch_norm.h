// Batch normalisation whose running statistics belong to the logical worker: a forward pass in
// training mode records its statistics, and the trainer merges those of all logical workers and
// applies them once per optimizer step. Read next: batch_norm_sync.h.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <vector>

#include "models/layers/batch_norm_sync.h"
#include "models/layers/init.h"

namespace podium::models {

// Mean and sum of squared deviations of `count` values per channel.
struct NormStatistics {
  torch::Tensor mean;  // (C) float64
  torch::Tensor m2;    // (C) float64
  double count = 0;
};

// Chan's parallel formula; merge(a, b) is not bitwise merge(b, a): callers merge in tree order,
// left before right.
NormStatistics merge(const NormStatistics& left, const NormStatistics& right);

// What normalises a batch in training.
enum class NormMode {
  kGhost,   // its own statistics
  kFrozen,  // the running statistics, which stay as they are
  kSync,    // those of all real workers' batches together: depends on the number of workers
};

// 2-d batch normalisation with torch.nn.BatchNorm2d's parameter names and arithmetic.
class BatchNorm2dImpl : public torch::nn::Module, public Initialised {
 public:
  // `initial_weight`: 0 makes a residual branch that ends in this norm start as the identity.
  explicit BatchNorm2dImpl(int64_t num_channels, double eps = 1e-5, double momentum = 0.1,
                           double initial_weight = 1.0);
  // Shapes: (B, C, H, W) -> same. Training: normalises as the mode says and, but when frozen,
  // records the statistics (in the parameters' type, whatever the input's) unless it is computed
  // again for a backward pass; the running statistics stay as they are. Errors: UsageError in
  // training when a channel has a single value.
  torch::Tensor forward(const torch::Tensor& input);
  // `sum` is needed for kSync alone.
  void set_mode(NormMode mode, SumOverWorkers sum = nullptr);
  NormMode mode() const { return mode_; }
  // Moves the statistics of the last training forward out. Errors: InternalError when there was
  // none.
  NormStatistics take_statistics();
  // running = (1 - momentum) * running + momentum * statistics (unbiased variance);
  // num_batches_tracked += 1.
  void update_running(const NormStatistics& statistics);

  // running = statistics (unbiased variance).
  void replace_running(const NormStatistics& statistics);

  std::vector<ParameterRule> parameter_rules() override;

  torch::Tensor weight, bias, running_mean, running_var, num_batches_tracked;

 private:
  double eps_;
  double momentum_;
  double initial_weight_;
  NormMode mode_ = NormMode::kGhost;
  SumOverWorkers sum_;
  torch::Tensor batch_mean_, batch_var_;  // of the last forward; var unbiased
  double batch_count_ = 0;
};
TORCH_MODULE(BatchNorm2d);

// The batch norms of a module in registration order.
std::vector<BatchNorm2dImpl*> find_batch_norms(torch::nn::Module& module);
// Those whose mode is not kFrozen.
std::vector<BatchNorm2dImpl*> find_trained_norms(torch::nn::Module& module);

}  // namespace podium::models
