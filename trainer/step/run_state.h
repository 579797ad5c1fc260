// The tensors that a step changes, as checkpoints keep them. Read next: ../record/checkpoint.h.
#pragma once

#include <torch/types.h>

#include <map>
#include <string>

namespace podium::trainer {

using TensorMap = std::map<std::string, torch::Tensor>;

// Tensors by name; weights with their public names.
struct CheckpointTensors {
  TensorMap weights;  // parameters and buffers
  TensorMap optimizer;
  TensorMap ema;  // empty without EMA
};

}  // namespace podium::trainer
