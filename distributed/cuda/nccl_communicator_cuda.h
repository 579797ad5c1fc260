// The Communicator over NCCL ranks. Read next: nccl_communicator_cuda.cpp.
#pragma once

#include <chrono>
#include <memory>

#include "distributed/device_module.h"

namespace podium {

// One device per rank; CPU tensors and bytes go through `control`. Collective: blocks until all
// ranks are connected. Errors: DistributedError.
std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<ControlChannel> control,
                                                     int device_index,
                                                     std::chrono::milliseconds timeout);

}  // namespace podium
