// The Communicator over MPI ranks, for CPU tensors, and what the environment says about workers.
// Read next: mpi_collectives.h.
#pragma once

#include <chrono>
#include <memory>

#include "distributed/communicator.h"
#include "distributed/device_module.h"

namespace podium {

// What the launcher's environment variables say. Order: Open MPI's mpirun, then srun with PMIx.
struct WorkerEnvironment {
  int world_size = 1;     // 1: no launcher, or one worker
  bool is_srun = false;   // started by srun, not by mpirun
  bool has_pmix = false;  // srun offers PMIx, which Open MPI needs
};
WorkerEnvironment read_worker_environment();

// Collective: starts MPI when it is not up, blocks until all ranks are there.
// Errors: DistributedError when srun's tasks do not form one MPI world ("srun --mpi=pmix").
std::unique_ptr<Communicator> make_mpi_communicator(std::chrono::milliseconds timeout);
// The same world as the CPU side of a GPU world.
std::unique_ptr<ControlChannel> make_mpi_control_channel(std::chrono::milliseconds timeout);

}  // namespace podium
