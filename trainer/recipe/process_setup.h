// Threads, memory and determinism of this process.
#pragma once

#include "distributed/communicator.h"

namespace podium::trainer {

// Threads of this worker.
struct ThreadCounts {
  int cores = 1;    // that this process may use
  int compute = 1;  // libtorch's intra-op threads
  int loader = 1;
};

// Memory that tensors of the host give back stays with the process for those of the next step;
// otherwise the kernel hands out and clears hundreds of MiB again in each step.
void keep_freed_memory();

// `compute_threads` intra-op threads, whatever the number of workers or cores, and deterministic
// kernels: an operation that has none is an error on the CPU and a warning on a GPU. `is_fastest`
// lifts both: the cores of this node are shared out, unless OMP_NUM_THREADS says otherwise.
ThreadCounts configure_process(const Communicator& communicator, int loader_threads,
                               int compute_threads, bool is_fastest);

}  // namespace podium::trainer
