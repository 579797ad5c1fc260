// The workers of a run and what they exchange. One worker, MPI ranks and NCCL ranks stand behind
// the same interface, so the training loop has no `if (distributed)`. Read next:
// reduce/gradient_reducer.h, mpi/mpi_collectives.h.
#pragma once

#include <torch/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace podium {

// A collective in flight. wait() throws DistributedError on timeout or failure; the output is valid
// after it.
class PendingCollective {
 public:
  virtual ~PendingCollective() = default;
  virtual void wait() = 0;
};

// Collective: all ranks call the same operations in the same order. Every operation ends within
// timeout() or throws DistributedError: "all_to_all #412 (rank 1): not arrived after 600 s: rank 3
// (last in broadcast #398)".
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;
  virtual int local_rank() const = 0;  // this worker on its node
  virtual int local_size() const = 0;  // workers on this node
  virtual torch::Device device() const = 0;
  virtual std::string name() const = 0;  // "single", "mpi", "nccl"

  // Copies rank 0's values into all ranks' tensors (any dtype).
  virtual void broadcast(const std::vector<torch::Tensor>& tensors) = 0;
  virtual void barrier() = 0;
  // Shapes: input (n * W) contiguous -> output (n * W): block r of the output came from rank r.
  virtual std::shared_ptr<PendingCollective> all_to_all(torch::Tensor output,
                                                        torch::Tensor input) = 0;
  // Shapes: input (n) -> output (n * W) in rank order.
  virtual std::shared_ptr<PendingCollective> all_gather(torch::Tensor output,
                                                        torch::Tensor input) = 0;
  // Plain sum over ranks in place, association left to the library (--fastest only).
  virtual std::shared_ptr<PendingCollective> all_reduce_sum(torch::Tensor tensor) = 0;
  // In place: flat (n * W) contiguous floating becomes scale * its sum over the ranks along the
  // tree ((0 + 1) + (2 + 3)) ..., with the same bits on all ranks: an all-to-all, an ordered sum of
  // each rank's n elements and an all-gather (the traffic of a ring all-reduce), with no arithmetic
  // inside the library. Requires: W a power of two.
  virtual std::shared_ptr<PendingCollective> tree_all_reduce(torch::Tensor flat, double scale) = 0;
  // Each rank's bytes, in rank order.
  virtual std::vector<std::string> all_gather_bytes(const std::string& bytes) = 0;
};

}  // namespace podium
