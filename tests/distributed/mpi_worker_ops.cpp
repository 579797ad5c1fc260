// Every operation of backend and communicator against values written by hand.
#include <fmt/format.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "base/error.h"
#include "tests/distributed/mpi_worker_cases.h"

namespace podium {
namespace {

using torch::Tensor;

void expect_equal(const std::string& operation, const Tensor& found, const Tensor& expected) {
  if (!torch::equal(found, expected)) {
    throw InternalError(operation + ": found " + torch::str(found) + ", expected " +
                        torch::str(expected));
  }
}

// (n) values 100 * rank + 0, 1, 2, ...
Tensor of_rank(int64_t rank, int64_t n, torch::ScalarType type = torch::kFloat) {
  return (torch::arange(n) + 100 * rank).to(type);
}

Tensor of_all_ranks(int64_t world_size, int64_t n, torch::ScalarType type = torch::kFloat) {
  std::vector<Tensor> pieces;
  for (int64_t rank = 0; rank < world_size; ++rank) pieces.push_back(of_rank(rank, n, type));
  return torch::cat(pieces);
}

void check_reductions(MpiBackend& backend) {
  const int64_t size = backend.getSize();
  for (const torch::ScalarType type : {torch::kFloat, torch::kDouble, torch::kInt, torch::kLong}) {
    std::vector<Tensor> tensors = {of_rank(backend.getRank(), 3, type)};
    backend.allreduce(tensors, {})->wait();
    expect_equal("all_reduce", tensors[0],
                 of_all_ranks(size, 3, type).view({size, 3}).sum(0).to(type));
  }
  std::vector<Tensor> largest = {of_rank(backend.getRank(), 3)};
  c10d::AllreduceOptions options;
  options.reduceOp = c10d::ReduceOp::MAX;
  backend.allreduce(largest, options)->wait();
  expect_equal("all_reduce max", largest[0], of_rank(size - 1, 3));

  std::vector<Tensor> at_root = {of_rank(backend.getRank(), 3)};
  c10d::ReduceOptions to_last;
  to_last.rootRank = size - 1;
  backend.reduce(at_root, to_last)->wait();
  if (backend.getRank() == size - 1) {
    expect_equal("reduce", at_root[0], of_all_ranks(size, 3).view({size, 3}).sum(0));
  }
}

void check_moves(MpiBackend& backend) {
  const int64_t size = backend.getSize();
  for (const torch::ScalarType type : {torch::kByte, torch::kHalf, torch::kFloat, torch::kLong}) {
    std::vector<Tensor> tensors = {
        of_rank(backend.getRank(), 5, torch::kLong).remainder(64).to(type)};
    c10d::BroadcastOptions from_last;
    from_last.rootRank = size - 1;
    backend.broadcast(tensors, from_last)->wait();
    expect_equal("broadcast", tensors[0],
                 of_rank(size - 1, 5, torch::kLong).remainder(64).to(type));
  }
  Tensor input = of_rank(backend.getRank(), 4);
  Tensor output = torch::empty({4 * size});
  auto work = backend._allgather_base(output, input, {});
  work->getFuture()->wait();
  expect_equal("all_gather future", work->getFuture()->value().toTensorVector().at(0),
               of_all_ranks(size, 4));

  std::vector<std::vector<Tensor>> lists(1);
  for (int64_t rank = 0; rank < size; ++rank) lists[0].push_back(torch::empty({2, 2}));
  std::vector<Tensor> inputs = {input};
  backend.allgather(lists, inputs, {})->wait();
  expect_equal("all_gather list", lists[0][static_cast<size_t>(size - 1)],
               of_rank(size - 1, 4).view({2, 2}));
}

// A ring in which every rank first sends, with messages too large for MPI's own buffers.
void check_ring(MpiBackend& backend) {
  const int size = backend.getSize();
  const int64_t n = 300'000;
  std::vector<Tensor> sent = {of_rank(backend.getRank(), n)};
  std::vector<Tensor> received = {torch::empty({n})};
  auto send = backend.send(sent, (backend.getRank() + 1) % size, 7);
  auto receive = backend.recv(received, (backend.getRank() + size - 1) % size, 7);
  backend.barrier({})->wait();
  send->wait();
  receive->wait();
  expect_equal("send and recv", received[0], of_rank((backend.getRank() + size - 1) % size, n));
}

}  // namespace

void run_backend_cases(MpiBackend& backend) {
  check_reductions(backend);
  check_moves(backend);
  check_ring(backend);
  bool is_refused = false;
  try {
    Tensor strided = torch::zeros({4, 4}).t(), output = torch::zeros({16 * backend.getSize()});
    backend._allgather_base(output, strided, {});
  } catch (const InternalError&) {
    is_refused = true;
  }
  if (!is_refused) throw InternalError("all_gather took a strided tensor");
}

void run_communicator_cases(Communicator& communicator) {
  const int64_t size = communicator.world_size();
  // all_to_all: rank r sends block b to rank b.
  const Tensor input = of_rank(communicator.rank(), 2 * size);
  const Tensor output = torch::empty({2 * size});
  communicator.all_to_all(output, input)->wait();
  std::vector<Tensor> blocks;
  for (int64_t rank = 0; rank < size; ++rank)
    blocks.push_back(of_rank(rank, 2 * size).narrow(0, 2 * communicator.rank(), 2));
  expect_equal("all_to_all", output, torch::cat(blocks));

  // 2^24 + 1 is no float: (2^24 + 1) + (1 + ...) tells the tree from a left fold.
  if (size == 4) {
    const Tensor flat = torch::full({64 * 4}, communicator.rank() == 0 ? 16777216.0 : 1.0);
    communicator.tree_all_reduce(flat, 0.5)->wait();
    expect_equal("tree_all_reduce", flat,
                 torch::full({64 * 4}, 8388609.0));  // a left fold gives 8388608
  }
  const Tensor uneven = of_rank(communicator.rank(), 3 * size);
  communicator.tree_all_reduce(uneven, 1.0)->wait();
  expect_equal("tree_all_reduce of few elements", uneven,
               of_all_ranks(size, 3 * size).view({size, 3 * size}).sum(0));

  std::vector<Tensor> tensors = {torch::full({2, 3}, communicator.rank()).t(),
                                 torch::full({}, communicator.rank() + 5, torch::kLong),
                                 torch::full({3}, communicator.rank(), torch::kHalf),
                                 torch::zeros({0})};
  communicator.broadcast(tensors);
  expect_equal("broadcast of a transposed tensor", tensors[0], torch::zeros({3, 2}));
  expect_equal("broadcast of a scalar", tensors[1], torch::full({}, 5, torch::kLong));
  expect_equal("broadcast of halves", tensors[2], torch::zeros({3}, torch::kHalf));

  const std::string mine(static_cast<size_t>(communicator.rank()), 'x');
  const std::vector<std::string> all = communicator.all_gather_bytes(mine);
  for (int64_t rank = 0; rank < size; ++rank) {
    if (all.at(static_cast<size_t>(rank)) != std::string(static_cast<size_t>(rank), 'x')) {
      throw InternalError(fmt::format("all_gather_bytes: rank {} sent {} bytes", rank,
                                      all[static_cast<size_t>(rank)].size()));
    }
  }
  if (communicator.local_size() != size || communicator.local_rank() != communicator.rank()) {
    throw InternalError("local rank and size on one node differ from the world's");
  }
  communicator.barrier();
}

}  // namespace podium
