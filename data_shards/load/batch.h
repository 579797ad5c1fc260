// A micro-batch as the loader gives it. Read next: loader.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace podium::data_shards {

// B samples. Tensors lie on the host, pinned when the loader was asked to.
struct Batch {
  std::vector<std::string> keys;  // (B)
  std::vector<int64_t> indices;   // (B) position in the data set
  at::Tensor images;              // (B, C, H, W) float32, normalised
  at::Tensor class_vectors;       // (B, K) float32 with kUnknownLabel; multi-label only
  at::Tensor class_indices;       // (B) int64, kNoClass without label; single label only
  at::Tensor masks;               // (B, H, W) int64, kIgnoreIndex where not counted
  int64_t size() const { return static_cast<int64_t>(keys.size()); }
};

}  // namespace podium::data_shards
