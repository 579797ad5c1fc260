// Published weights for another number of input channels.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace podium::models {

// A first convolution's weight made for another number of channels C by timm's rule: one channel
// gets the sum over the old ones, others repeat the old ones in turn, scaled by old / C to keep the
// magnitude of the sum. Shapes: (out, old, kh, kw) -> (out, C, kh, kw).
torch::Tensor adapt_channels(const torch::Tensor& weight, int64_t num_channels);

}  // namespace podium::models
