// Scaling of the loss, so that small gradients survive in float16. Read next: train_loop.h.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "trainer/optimizers/parameter_groups.h"

namespace podium::trainer {

struct LossScalerOptions {
  double initial_scale = 65536;    // a power of two, so that scaling back is exact
  double growth_factor = 2;        // after growth_interval updates in a row without overflow
  double backoff_factor = 0.5;     // after an overflow
  int64_t growth_interval = 2000;  // steps
};

// The gradients are tested once per step, after the sum over all workers: they are the same on
// every rank, so every rank decides alike, and an overflow anywhere has reached the sum. Source:
// torch.amp.GradScaler, with the same defaults.
class LossScaler {
 public:
  explicit LossScaler(torch::Device device, LossScalerOptions options = {});
  torch::Tensor scale(const torch::Tensor& loss) const { return loss * scale_; }
  // Divides the gradients by the scale, then moves the scale. False when one of them is not finite:
  // the step is to be left out.
  bool unscale(const std::vector<ParameterGroup>& groups);
  double current() const { return scale_.item<double>(); }

  // "loss_scale.scale", "loss_scale.growth_tracker".
  std::map<std::string, torch::Tensor> state() const;
  // Errors: DataError when one is missing, or for any other.
  void load_state(const std::map<std::string, torch::Tensor>& state);

 private:
  LossScalerOptions options_;
  torch::Tensor scale_;           // () float32
  torch::Tensor growth_tracker_;  // () int32
};

}  // namespace podium::trainer
