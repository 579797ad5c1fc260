// What each rank of the MPI tests runs. Read next: mpi_worker.cpp, mpi_test.cpp.
#pragma once

#include <string>

#include "distributed/communicator.h"
#include "distributed/mpi/mpi_collectives.h"

namespace podium {

// Prints "CASE digest" for gradients and norm statistics of a small model: rank 0 prints,
// after all ranks agreed.
void run_reducer_cases(Communicator& communicator);
// Checks every operation of the collectives against values written by hand; throws InternalError
// that names the operation.
void run_collectives_cases(MpiCollectives& collectives);
// Checks every operation of the communicator.
void run_communicator_cases(Communicator& communicator);
}  // namespace podium

namespace podium::trainer {

// Whole runs of trainer::train, one after another. `file` holds a JSON list of runs with the fields
// of TrainOptions: recipe, data, folds, run_dir, overrides, loader_threads, bucket_bytes,
// is_fastest. Prints "rank R pid P" first.
void run_train_jobs(const std::string& file);

}  // namespace podium::trainer
