// The tensors that a step changes, in named groups, as checkpoints keep them. Read next: network.h,
// ../record/checkpoint.h.
#pragma once

#include <torch/types.h>

#include <map>
#include <string>

namespace podium::trainer {

// By name; of a network with their public names.
using TensorMap = std::map<std::string, torch::Tensor>;

// Groups by name. The run's own network has the groups below; those of a further network carry its
// name: "teacher.network". A group that a run has not (no moving average, no loss scale) is not
// there.
using RunState = std::map<std::string, TensorMap>;

inline constexpr const char* kNetworkGroup = "network";  // parameters and buffers
inline constexpr const char* kOptimizerGroup = "optimizer";
inline constexpr const char* kEmaGroup = "ema";        // averaged parameters and buffers
inline constexpr const char* kScalerGroup = "scaler";  // fp16's loss scale

// "network" of the run's own network (`network` is ""), "teacher.network" of another.
inline std::string group_name(const std::string& network, const std::string& group) {
  return network.empty() ? group : network + "." + group;
}

}  // namespace podium::trainer
