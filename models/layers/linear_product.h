// The product that linear layers are made of. Read next: layers.h.
#pragma once

#include <torch/types.h>

namespace podium::models {

// input weight^T + bias, as at::linear. Tensors on the host in float32 take oneDNN's kernels: the
// BLAS inside libtorch keeps to AVX2 on processors that are not Intel's, at half the speed.
// Shapes: input (..., K), weight (N, K), bias (N) or undefined -> (..., N).
torch::Tensor linear_product(const torch::Tensor& input, const torch::Tensor& weight,
                             const torch::Tensor& bias = {});

}  // namespace podium::models
