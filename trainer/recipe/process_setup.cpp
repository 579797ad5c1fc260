// Settings of malloc, libtorch and its kernels.
#include "trainer/recipe/process_setup.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <cstdlib>

#include "base/parallel.h"

namespace podium::trainer {

void keep_freed_memory() {
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  ::mallopt(M_TRIM_THRESHOLD, -1);  // never
}

ThreadCounts configure_process(const Communicator& communicator, int loader_threads,
                               int compute_threads, bool is_fastest) {
  ThreadCounts threads;
  threads.cores = available_cores();
  const int share = std::max(1, threads.cores / std::max(1, communicator.local_size()));
  if (!is_fastest) {
    at::set_num_threads(compute_threads);
  } else if (std::getenv("OMP_NUM_THREADS") == nullptr) {
    at::set_num_threads(share);
  }
  threads.compute = at::get_num_threads();
  threads.loader = loader_threads > 0 ? loader_threads : share;

  const bool is_cuda = communicator.device().is_cuda();
  at::Context& context = at::globalContext();
  if (!is_cuda) keep_freed_memory();
  // cuBLAS reads this when its first handle is made; without it some products are not repeatable.
  if (is_cuda && !is_fastest) ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
  context.setDeterministicAlgorithms(!is_fastest, /*warn_only=*/is_cuda);
  context.setDeterministicFillUninitializedMemory(false);
  context.setDeterministicCuDNN(!is_fastest);
  context.setBenchmarkCuDNN(is_fastest);
  return threads;
}

}  // namespace podium::trainer
