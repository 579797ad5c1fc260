// What the MLP of a transformer's block computes. Needs no libtorch. Read next:
// transformer_layers.h.
#pragma once

namespace podium::models {

enum class MlpKind {
  kGelu,          // fc2(gelu(fc1(x))), the exact (erf) GELU
  kQuickGelu,     // with x * sigmoid(1.702 x) in its place
  kSwiGluPacked,  // (a, b) = halves of fc1(x); fc2(silu(a) * b)
};

}  // namespace podium::models
