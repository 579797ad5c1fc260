// The world of one worker.
#pragma once

#include <memory>

#include "distributed/communicator.h"

namespace podium {

// Threads: of one thread.
std::unique_ptr<Communicator> make_single_communicator(torch::Device device = torch::kCPU);

}  // namespace podium
