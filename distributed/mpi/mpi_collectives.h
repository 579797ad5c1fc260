// The collectives over Open MPI for CPU tensors. Read next: mpi_engine.h, mpi_tree.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "distributed/communicator.h"
#include "distributed/mpi/mpi_engine.h"
#include "distributed/mpi/mpi_tree.h"

namespace podium {

// Operations run in the order of the calls on one thread; each call returns at once. Shapes and
// arithmetic: communicator.h. Collective: all ranks call the same operations in the same order.
// Errors: InternalError for tensors that are not contiguous CPU tensors or sizes that do not fit;
// DistributedError from wait().
class MpiCollectives {
 public:
  using Pending = std::shared_ptr<PendingCollective>;

  explicit MpiCollectives(std::unique_ptr<MpiEngine> engine);

  int rank() const { return engine_->rank(); }
  int size() const { return engine_->size(); }
  // After a failure, or a timeout.
  bool is_broken() { return engine_->is_broken(); }

  Pending broadcast(const at::Tensor& tensor);       // from rank 0
  Pending all_reduce_sum(const at::Tensor& tensor);  // float32, float64 and integers
  Pending all_gather(const at::Tensor& output, const at::Tensor& input);
  Pending all_to_all(const at::Tensor& output, const at::Tensor& input);
  // The three steps as one operation, so that none of them blocks the caller.
  Pending tree_all_reduce(const at::Tensor& flat, double scale);
  Pending barrier(const std::string& name = "barrier");  // as error messages call it

  // From now on tree_all_reduce sums inside a node first, then between nodes, which divides the
  // traffic between nodes by the ranks of a node. `node`: this node's ranks; `across`: the ranks
  // with this one's place on every node; both in the order of ranks, and the ranks of a node are
  // consecutive, so that a node is a subtree. The communicators outlive this object.
  void use_two_levels(MPI_Comm node, MPI_Comm across);
  // For operations that run elsewhere (NCCL): takes the next sequence number under this name, for
  // the peers' questions.
  uint64_t mark(const std::string& name) { return engine_->mark(name); }
  // The message of a timeout of operation `sequence`; blocks while the peers are asked.
  std::string explain_timeout(const std::string& name, uint64_t sequence) {
    return engine_->explain_timeout(name, sequence);
  }

 private:
  ReceiveBuffer receive_buffer_;  // outlives the engine's thread
  std::unique_ptr<MpiEngine> engine_;
  std::vector<TreeLevel> levels_;  // of tree_all_reduce
};

}  // namespace podium
