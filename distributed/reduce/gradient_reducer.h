// Sums gradients over logical workers along one fixed binary tree, whatever the number of real
// workers. Read next: communicator.h; why a tree: docs/architecture.md.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "distributed/communicator.h"

namespace podium {

enum class Reduction {
  kTree,       // same bits for any number of workers dividing logical_workers
  kAllReduce,  // --fastest: plain all-reduce
};

struct GradientReducerOptions {
  int64_t logical_workers = 8;   // L, a power of two
  int64_t grad_accum_steps = 1;  // backwards per logical worker and step
  int64_t bucket_bytes = int64_t{25} << 20;
  Reduction reduction = Reduction::kTree;
};

// Use, per optimizer step:
//   reducer.begin_step();
//   for (leaf = 0; leaf < reducer.num_local_leaves(); ++leaf) {
//     reducer.begin_leaf(leaf);
//     // forward and backward of this rank's leaf
//     reducer.end_leaf();
//   }
//   reducer.finish_step();
// Then parameter.grad() is the mean over all leaves, equal on all ranks.
// Rank r runs the logical workers [r * L / W, (r + 1) * L / W), each with grad_accum_steps leaves,
// one after another. Within a rank partial sums are kept by carry accumulation; across ranks each
// bucket goes through all-to-all, ordered tree sum and all-gather, started from autograd hooks of
// the last leaf, so it overlaps with its backward pass. Parameters without a gradient count as
// zero. Errors: UsageError when W does not divide L or L is not a power of two.
class GradientReducer {
 public:
  GradientReducer(std::vector<torch::Tensor> parameters, Communicator& communicator,
                  GradientReducerOptions options);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  int64_t first_leaf() const;        // of this rank
  int64_t num_local_leaves() const;  // of this rank
  void begin_step();
  void begin_leaf(int64_t local_leaf);
  void end_leaf();
  void finish_step();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace podium
