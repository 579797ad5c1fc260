// Every operation of collectives and communicator against values written by hand.
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

void check_reductions(MpiCollectives& collectives) {
  const int64_t size = collectives.size();
  for (const torch::ScalarType type : {torch::kFloat, torch::kDouble, torch::kInt, torch::kLong}) {
    const Tensor tensor = of_rank(collectives.rank(), 3, type);
    collectives.all_reduce_sum(tensor)->wait();
    expect_equal("all_reduce", tensor, of_all_ranks(size, 3, type).view({size, 3}).sum(0).to(type));
  }
}

void check_moves(MpiCollectives& collectives) {
  const int64_t size = collectives.size();
  for (const torch::ScalarType type : {torch::kByte, torch::kHalf, torch::kFloat, torch::kLong}) {
    const Tensor tensor = of_rank(collectives.rank() + 1, 5, torch::kLong).remainder(64).to(type);
    collectives.broadcast(tensor)->wait();
    expect_equal("broadcast", tensor, of_rank(1, 5, torch::kLong).remainder(64).to(type));
  }
  const Tensor input = of_rank(collectives.rank(), 4);
  const Tensor output = torch::empty({4 * size});
  collectives.all_gather(output, input)->wait();
  expect_equal("all_gather", output, of_all_ranks(size, 4));
}

// Messages too large for MPI's own buffers, several of them waiting for their turn.
void check_queue(MpiCollectives& collectives) {
  const int64_t size = collectives.size(), n = 300'000;
  const Tensor input = of_rank(collectives.rank(), n);
  const Tensor gathered = torch::empty({n * size}), exchanged = torch::empty({n * size});
  const auto gather = collectives.all_gather(gathered, input);
  const auto exchange = collectives.all_to_all(exchanged, gathered);
  collectives.barrier()->wait();
  gather->wait();
  exchange->wait();
  expect_equal("all_gather of many", gathered, of_all_ranks(size, n));
  expect_equal("all_to_all of what was gathered", exchanged,
               of_rank(collectives.rank(), n).repeat({size}));
}

void check_refusals(MpiCollectives& collectives) {
  bool is_refused = false;
  try {
    collectives.all_gather(torch::zeros({16 * collectives.size()}), torch::zeros({4, 4}).t());
  } catch (const InternalError&) {
    is_refused = true;
  }
  if (!is_refused) throw InternalError("all_gather took a strided tensor");
}

}  // namespace

void run_collectives_cases(MpiCollectives& collectives) {
  check_reductions(collectives);
  check_moves(collectives);
  check_queue(collectives);
  check_refusals(collectives);
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
