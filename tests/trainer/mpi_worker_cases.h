// What each rank of the MPI tests runs. Read next: mpi_worker.cpp, mpi_test.cpp.
#pragma once

#include "trainer/communicator.h"
#include "trainer/mpi_backend.h"

namespace podium::trainer {

// Prints "CASE digest" for gradients, norm statistics and losses of a small model: rank 0 prints,
// after all ranks agreed.
void run_reducer_cases(Communicator& communicator);
// Checks every operation of the backend against values written by hand; throws InternalError that
// names the operation.
void run_backend_cases(MpiBackend& backend);
// Checks every operation of the communicator.
void run_communicator_cases(Communicator& communicator);

}  // namespace podium::trainer
