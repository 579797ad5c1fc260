// Small helpers over a Communicator. Read next: communicator.h.
#pragma once

#include <torch/nn/module.h>

#include <string>

#include "distributed/communicator.h"

namespace podium::trainer {

// Copies rank 0's parameters and buffers into the module of every rank, in registration order.
// Collective: all ranks; blocks.
void broadcast_module(torch::nn::Module& module, Communicator& communicator);

// Ends the step on all ranks alike: true when any rank gave true. For decisions that depend on
// signals or clocks. Collective: all ranks; blocks.
bool any_rank(bool value, Communicator& communicator);

// Errors: DistributedError when the ranks' bytes differ: "WHAT differs between rank 0 and rank 2;
// NEXT_STEP". Collective: all ranks; blocks.
void require_equal_on_all_ranks(const std::string& bytes, const std::string& what,
                                const std::string& next_step, Communicator& communicator);

}  // namespace podium::trainer
