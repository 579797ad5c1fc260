// A c10d::Backend over Open MPI for CPU tensors. Read next: mpi_engine.h.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <vector>

#include "distributed/mpi/mpi_engine.h"
#include "distributed/mpi/mpi_tree.h"

namespace podium {

// Operations run in the order of the calls on one thread; each call returns at once with a Work
// that has a future. Collective: all ranks call the same operations in the same order. Errors:
// InternalError for tensors that are not contiguous CPU tensors or sizes that do not fit;
// DistributedError from wait().
class MpiBackend : public c10d::Backend {
 public:
  using Tensors = std::vector<at::Tensor>;
  using WorkPtr = c10::intrusive_ptr<c10d::Work>;

  explicit MpiBackend(std::unique_ptr<MpiEngine> engine);

  const std::string getBackendName() const override { return "mpi"; }
  void setTimeout(std::chrono::milliseconds timeout) override { engine_->set_timeout(timeout); }
  uint64_t getSequenceNumberForGroup() override { return engine_->sequence(); }
  void setSequenceNumberForGroup() override {}
  MpiEngine& engine() { return *engine_; }

  WorkPtr broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) override;
  // SUM, AVG, PRODUCT, MIN, MAX; float32, float64 and integers.
  WorkPtr allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) override;
  WorkPtr reduce(Tensors& tensors, const c10d::ReduceOptions& options) override;
  WorkPtr allgather(std::vector<Tensors>& outputs, Tensors& inputs,
                    const c10d::AllgatherOptions& options) override;
  WorkPtr _allgather_base(at::Tensor& output, at::Tensor& input,
                          const c10d::AllgatherOptions& options) override;
  WorkPtr alltoall_base(at::Tensor& output, at::Tensor& input, std::vector<int64_t>& output_splits,
                        std::vector<int64_t>& input_splits,
                        const c10d::AllToAllOptions& options) override;
  WorkPtr barrier(const c10d::BarrierOptions& options) override;
  WorkPtr send(Tensors& tensors, int destination, int tag) override;
  WorkPtr recv(Tensors& tensors, int source, int tag) override;

  // Communicator::tree_all_reduce: the three steps as one operation, so that none of them blocks
  // the caller.
  WorkPtr tree_allreduce(at::Tensor flat, double scale);
  // From now on tree_allreduce sums inside a node first, then between nodes, which divides the
  // traffic between nodes by the ranks of a node. `node`: this node's ranks; `across`: the ranks
  // with this one's place on every node; both in the order of ranks, and the ranks of a node are
  // consecutive, so that a node is a subtree. The communicators outlive the backend.
  void use_two_levels(MPI_Comm node, MPI_Comm across);
  // A barrier under another name, for error messages.
  WorkPtr named_barrier(const std::string& name);
  // For operations that run elsewhere (NCCL): takes the next sequence number under this name, for
  // the peers' questions.
  uint64_t mark(const std::string& name);
  // The message of a timeout of operation `sequence`; blocks while the peers are asked.
  std::string explain_timeout(const std::string& name, uint64_t sequence);

 private:
  WorkPtr enqueue(const std::string& name, c10d::OpType type, Tensors tensors, Tensors outputs,
                  std::vector<MpiOperation::Stage> stages, bool is_collective = true);

  ReceiveBuffer receive_buffer_;  // outlives the engine's thread
  std::unique_ptr<MpiEngine> engine_;
  std::vector<TreeLevel> levels_;  // of tree_allreduce
};

}  // namespace podium
