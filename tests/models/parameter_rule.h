// Values by rule, the same as in parameter_rule.py: they stand in for stored weights and inputs.
// Read next: parity_test.cpp.
#pragma once

#include <torch/nn/module.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace podium::models::testing {

// `count` numbers in [0, 1): SplitMix64 from the FNV-1a hash of the name.
inline torch::Tensor uniform_by_name(const std::string& name, int64_t count) {
  uint64_t state = 0xCBF29CE484222325;
  for (const unsigned char byte : name) state = (state ^ byte) * 0x100000001B3;
  torch::Tensor values = torch::empty({count}, torch::dtype(torch::kFloat64));
  for (int64_t i = 0; i < count; ++i) {
    uint64_t z = state + (static_cast<uint64_t>(i) + 1) * 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    z = z ^ (z >> 31);
    values.data_ptr<double>()[i] = static_cast<double>(z >> 11) * 0x1.0p-53;
  }
  return values;
}

// Variances and scales in [0.5, 1.5), weights by fan-in, tokens and position tables in [-1, 1),
// logit scales around their first value ln 10, but one of the first block beyond the bound ln 100,
// counters 0.
inline torch::Tensor value_by_rule(const std::string& name, at::IntArrayRef shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  torch::Tensor u = uniform_by_name(name, count);
  if (name.ends_with("num_batches_tracked")) {
    u.zero_();
  } else if (name.ends_with("running_var") || (name.ends_with("weight") && shape.size() == 1)) {
    u = u + 0.5;
  } else if (name.ends_with("logit_scale")) {
    u = u * 2 + 1.3;
    if (name.find("layers.0.blocks.0.") != std::string::npos) u[0] += 3.5;
  } else if (name.ends_with("cls_token") || name.ends_with("reg_token") ||
             name.ends_with("pos_embed")) {
    u = u * 2 - 1;
  } else if (shape.size() == 1) {
    u = (u - 0.5) * 0.2;
  } else {
    u = (u * 2 - 1) * std::sqrt(4.5 / (static_cast<double>(count) / static_cast<double>(shape[0])));
  }
  return u.reshape(shape);
}

// Two images in [-2, 2).
inline torch::Tensor images_by_rule(int64_t channels, int64_t height, int64_t width) {
  std::string name = "input." + std::to_string(channels) + "." + std::to_string(height);
  if (width != height) name += "x" + std::to_string(width);
  return (uniform_by_name(name, 2 * channels * height * width) * 4 - 2)
      .reshape({2, channels, height, width});
}
inline torch::Tensor images_by_rule(int64_t channels, int64_t size) {
  return images_by_rule(channels, size, size);
}

inline void fill_by_rule(torch::nn::Module& module) {
  torch::NoGradGuard no_grad;
  for (auto& item : module.named_parameters()) {
    item.value().copy_(value_by_rule(item.key(), item.value().sizes()));
  }
  for (auto& item : module.named_buffers()) {
    item.value().copy_(value_by_rule(item.key(), item.value().sizes()));
  }
}

}  // namespace podium::models::testing
