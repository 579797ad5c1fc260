// What the ranks of a run agree on. Read next: communicator.h.
#pragma once

#include <functional>
#include <string>

#include "distributed/communicator.h"

namespace podium {

// Errors: DistributedError when the ranks' bytes differ: "WHAT differs between rank 0 and rank 2;
// NEXT_STEP". Collective: all ranks; blocks.
void require_equal_on_all_ranks(const std::string& bytes, const std::string& what,
                                const std::string& next_step, Communicator& communicator);

// Runs `work` on rank 0 and returns its text on all ranks; an Error of rank 0 is thrown on every
// rank. Collective: all ranks, same order; blocks.
std::string on_rank_zero(Communicator& communicator, const std::function<std::string()>& work);

}  // namespace podium
