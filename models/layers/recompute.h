// Activation recomputation: a block's intermediate values are not kept for the backward pass but
// computed again when it needs them. Read next: vision_model.h (run_block).
#pragma once

#include <torch/types.h>

#include <functional>

namespace podium::models {

using BlockFunction = std::function<torch::Tensor(const torch::Tensor&)>;

// block(input), with the same output, gradients and statistics to the bit: the graph is the one
// that autograd builds anyway, only the tensors saved in it are left out. The first of them that
// the backward pass asks for runs `block` again, with the random state and the autocast of the
// first run; each tensor is dropped when it has been given. Without gradients, and inside of
// another recomputed block, it is a plain call. Requires: `block` owns what it holds, saves the
// same tensors for backward in each run, and changes nothing but its result, or asks
// is_recomputing() first. Errors: InternalError in backward when the second run saves other tensors
// than the first, or the input was changed in between. Memory: the input and the random state stay;
// in backward one block's values live at a time.
torch::Tensor recompute(const torch::Tensor& input, BlockFunction block);

// Whether this thread runs a block again.
bool is_recomputing();

}  // namespace podium::models
