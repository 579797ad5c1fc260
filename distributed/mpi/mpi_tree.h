// The tree sum over ranks in place: blocks are exchanged, summed in order and handed out again,
// level by level. Read next: mpi_tree.cpp, sum_rows.h.
#pragma once

#include <ATen/core/Tensor.h>
#include <mpi.h>

#include <vector>

#include "distributed/mpi/mpi_engine.h"

namespace podium {

// Ranks that sum among themselves; a power of two, in the order of the leaves.
struct TreeLevel {
  explicit TreeLevel(MPI_Comm comm);

  MPI_Comm comm;
  int rank = 0;
  int size = 1;
};

// Memory for what arrives, used again by each operation: fresh pages cost more than the sum itself.
// Threads: the engine's alone, which has one collective in flight.
class ReceiveBuffer {
 public:
  // At least `num_elements` of the type and device of `like`, valid until the next call.
  at::Tensor take(int64_t num_elements, const at::Tensor& like);

 private:
  at::Tensor buffer_;
};

// `flat` (n * ranks of all levels) contiguous becomes scale * its sum over all ranks. Each level
// sums the block that the one before left to this rank, so that the last, between nodes, moves
// least. Sent per rank and level of W ranks: 2 (W - 1) / W of what the level sums, as a ring
// all-reduce. `buffer` outlives the operation.
std::vector<MpiStage> tree_stages(const at::Tensor& flat, double scale,
                                  const std::vector<TreeLevel>& levels, ReceiveBuffer& buffer);

}  // namespace podium
