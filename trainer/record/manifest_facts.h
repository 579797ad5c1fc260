// What a manifest says about the surroundings of a run beside the build: libraries, machines,
// environment. Read next: manifest.h.
#pragma once

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "distributed/communicator.h"

namespace podium::trainer {

// Versions of the libraries that compute or carry data; those of the GPU are empty for a CPU.
nlohmann::json describe_libraries(torch::Device device);
// Host, processor with the instructions that decide which kernels run, cores, and the GPU of
// `device` (null for a CPU).
nlohmann::json describe_machine(torch::Device device);
// [{"ranks": [0, 1], "machine": {...}}]: ranks whose machine and GPU model are described alike
// share an entry. Collective: all ranks; blocks.
nlohmann::json describe_machines(Communicator& communicator);
// The variables that change what libraries compute or how fast; no others.
nlohmann::json relevant_environment();

}  // namespace podium::trainer
