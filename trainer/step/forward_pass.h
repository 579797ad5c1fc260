// The only place where training, validation, prediction and the measuring of norms call a network:
// device, type of the products and memory order are the same for all of them. Read next: network.h.
#pragma once

#include <torch/types.h>

#include <string>

#include "models/interface/vision_model.h"

namespace podium::trainer {

class ForwardPass {
 public:
  // `precision`: "fp32", "bf16" or "fp16", the type of matrix products and convolutions.
  ForwardPass(torch::Device device, const std::string& precision, bool is_channels_last);

  // Shapes: images (B, C, H, W) float32, on the host or the device; the model's outputs, whose
  // logits are float32. Gradients and the model's mode are the caller's.
  models::ModelOutput operator()(models::VisionModel& model, const torch::Tensor& images) const;

  torch::Device device() const { return device_; }

 private:
  torch::Device device_;
  torch::ScalarType type_;  // float32: no autocast
  bool is_channels_last_;
};

}  // namespace podium::trainer
