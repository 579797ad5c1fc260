// Pairwise exchange of blocks. Read next: mpi_tree.h.
//
// MPI's own all-to-all and all-gather also copy the block that a rank keeps, into a second buffer
// and back; over shared memory these copies cost as much as the transfer.
#include "distributed/mpi/mpi_tree.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>

#include "distributed/mpi/mpi_session.h"
#include "distributed/mpi/sum_rows.h"

namespace podium {
namespace {

using at::Tensor;
using Requests = std::vector<MPI_Request>;

constexpr int kTag = 1;  // collectives of MPI's own have no tags

// What one level works on: its part of the flat tensor, a block for each of its ranks.
struct LevelData {
  TreeLevel level;
  Tensor part;      // (n * size)
  Tensor received;  // (n * (size - 1)): block i - 1 comes from rank ^ i

  int64_t block_size() const { return part.numel() / level.size; }
  Tensor block(int rank) const { return part.narrow(0, rank * block_size(), block_size()); }
  Tensor received_from(int peer) const {
    return received.narrow(0, ((level.rank ^ peer) - 1) * block_size(), block_size());
  }
};

void post(const Tensor& to_send, int peer, const Tensor& to_receive, MPI_Comm comm,
          Requests& requests) {
  const auto count = static_cast<int>(to_send.numel());
  MPI_Datatype type = to_send.element_size() == 8   ? MPI_UINT64_T
                      : to_send.element_size() == 4 ? MPI_UINT32_T
                                                    : MPI_UINT16_T;
  check_mpi(MPI_Irecv(to_receive.data_ptr(), count, type, peer, kTag, comm,
                      &requests.emplace_back(MPI_REQUEST_NULL)),
            "MPI_Irecv");
  check_mpi(MPI_Isend(to_send.data_ptr(), count, type, peer, kTag, comm,
                      &requests.emplace_back(MPI_REQUEST_NULL)),
            "MPI_Isend");
}

// Every block goes to the rank that sums it. In step i all ranks are paired, so no rank is sent to
// by all at once.
void post_exchange(const LevelData& data, Requests& requests) {
  for (int i = 1; i < data.level.size; ++i) {
    const int peer = data.level.rank ^ i;
    post(data.block(peer), peer, data.received_from(peer), data.level.comm, requests);
  }
}

void post_gather(const LevelData& data, Requests& requests) {
  for (int i = 1; i < data.level.size; ++i) {
    const int peer = data.level.rank ^ i;
    post(data.block(data.level.rank), peer, data.block(peer), data.level.comm, requests);
  }
}

void sum_block(const LevelData& data, double scale) {
  std::vector<Tensor> rows;
  for (int rank = 0; rank < data.level.size; ++rank) {
    rows.push_back(rank == data.level.rank ? data.block(rank) : data.received_from(rank));
  }
  sum_rows(rows, data.block(data.level.rank), scale);
}

}  // namespace

TreeLevel::TreeLevel(MPI_Comm the_comm) : comm(the_comm) {
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);
}

at::Tensor ReceiveBuffer::take(int64_t num_elements, const at::Tensor& like) {
  if (!buffer_.defined() || buffer_.numel() < num_elements ||
      buffer_.scalar_type() != like.scalar_type()) {
    buffer_ = at::empty({num_elements}, like.options());
  }
  return buffer_;
}

std::vector<MpiStage> tree_stages(const at::Tensor& flat, double scale,
                                  const std::vector<TreeLevel>& levels, ReceiveBuffer& buffer) {
  // Shared by the stages; an operation that failed keeps it, because MPI may still write there.
  const auto all = std::make_shared<std::vector<LevelData>>();
  int64_t num_received = 0;
  Tensor part = flat;
  for (const TreeLevel& level : levels) {
    all->push_back({level, part, {}});
    part = all->back().block(level.rank);
    num_received = std::max(num_received, all->back().part.numel() - part.numel());
  }
  std::vector<MpiStage> stages;
  for (size_t i = 0; i < all->size(); ++i) {
    stages.push_back([=, &buffer](Requests& requests) {
      if (i > 0) sum_block((*all)[i - 1], 1.0);
      (*all)[i].received = buffer.take(num_received, flat);
      post_exchange((*all)[i], requests);
    });
  }
  for (size_t i = all->size(); i-- > 0;) {
    stages.push_back([=](Requests& requests) {
      if (i + 1 == all->size()) sum_block((*all)[i], scale);
      post_gather((*all)[i], requests);
    });
  }
  return stages;
}

}  // namespace podium
