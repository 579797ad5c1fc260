// Batch-norm statistics along the tree of the gradients. Read next:
// distributed/reduce/gradient_reducer_tree.h.
#pragma once

#include <memory>
#include <vector>

#include "distributed/reduce/gradient_reducer.h"
#include "models/layers/batch_norm.h"

namespace podium::trainer {

// The same tree for batch-norm statistics: collect() after each leaf's forward, finish() once per
// step updates the running statistics of every norm identically on all ranks; finish_precise() puts
// the statistics of these leaves in their place.
class NormReducer {
 public:
  NormReducer(std::vector<models::BatchNorm2dImpl*> norms, Communicator& communicator,
              GradientReducerOptions options);
  ~NormReducer();
  void collect();
  void finish();
  void finish_precise();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace podium::trainer
