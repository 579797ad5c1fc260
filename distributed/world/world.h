// Which workers there are: one, MPI ranks or NCCL ranks, by the environment. Read next:
// ../communicator.h.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "distributed/communicator.h"

namespace podium {

struct CommunicatorOptions {
  std::chrono::milliseconds timeout{600'000};  // of every collective
  std::string device = "auto";                 // "auto", "cpu", "cuda"
};

// By the environment: started by mpirun (OMPI_COMM_WORLD_SIZE) or srun --mpi=pmix
// (SLURM_STEP_NUM_TASKS, PMIX_RANK) with several ranks -> MPI (CPU) or NCCL (GPU); else one worker.
// Starts MPI; the destructor ends it, together with the peers. A launcher gives mpirun: --bind-to
// none (its default of one core per rank strangles loader threads), --oversubscribe where ranks may
// outnumber slots, --allow-run-as-root or OMPI_ALLOW_RUN_AS_ROOT=1 and
// OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 in containers. Errors: DistributedError, UsageError (device
// "cuda" where there is none).
std::unique_ptr<Communicator> make_communicator(const CommunicatorOptions& options);
// For main, after it has reported an error and before it returns: ends all workers with this exit
// code and does not return. Does nothing when MPI is not up (one worker, or an error after the
// regular end). A worker that just returned would leave its peers waiting in a collective until
// their timeout, and MPI's own end waits for all ranks; so the communicator's destructor skips that
// end while an exception is under way, and MPI_Abort tells mpirun or srun to end the rest.
void abort_workers(int exit_code);

}  // namespace podium
