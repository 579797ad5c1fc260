// What several losses are made of. Read next: bce.cpp.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

namespace podium::trainer {

// Half precision has too few digits for sums over a batch; double stays double.
torch::Tensor widen(const torch::Tensor& logits);

// True for (B, K, H, W) with (B, H, W).
bool is_map(const torch::Tensor& logits, const torch::Tensor& targets);

// The sum over the counted entries by their number; 0 when none is counted.
torch::Tensor mean_of_counted(const torch::Tensor& sum, const torch::Tensor& is_counted);

// Mean negative log likelihood over the targets that are not `ignore_index`, of softmax.
torch::Tensor mean_cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets,
                                 int64_t ignore_index, double label_smoothing);

// Targets of losses with a sigmoid, one for each logit.
struct BinaryTargets {
  torch::Tensor logits;      // float32 or double
  torch::Tensor targets;     // as logits; 0 where not counted
  torch::Tensor is_counted;  // bool: labelled
};
// Shapes: (B, K) with (B, K), or (B, 1, H, W) with masks (B, H, W): the logits then lose their
// channel. Errors: DataError, in which `loss` is the name, when shapes do not fit.
BinaryTargets binary_targets(const std::string& loss, const torch::Tensor& logits,
                             const torch::Tensor& targets);

// Throws the DataError of shapes that do not fit.
[[noreturn]] void refuse_shapes(const std::string& loss, const torch::Tensor& logits,
                                const torch::Tensor& targets, const std::string& expected);

}  // namespace podium::trainer
