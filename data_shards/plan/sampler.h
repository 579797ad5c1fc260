// The order of samples: which sample positions form which micro-batch, as a pure function of
// (epoch, step, logical worker).
#pragma once

#include <cstdint>
#include <vector>

#include "data_shards/plan/epoch_order.h"
#include "data_shards/plan/sample_list.h"

namespace podium::data_shards {

// One micro-batch that a loader is to deliver.
struct MicroBatchPlan {
  int64_t epoch = 0;
  int64_t step = 0;              // optimizer step within the epoch; evaluation: batch number
  int64_t leaf = 0;              // logical worker * grad_accum_steps + accumulation index
  std::vector<int64_t> indices;  // positions in the data set
  // (B) which repetition of its sample within the epoch this is, from 0; empty: each comes once
  std::vector<int32_t> repeats = {};
};

// Training order. global_batch_size = logical_workers * grad_accum_steps * micro_batch_size; step s
// of an epoch owns positions [s * global, (s + 1) * global) of the epoch's order (epoch_order.h);
// leaf l owns the l-th micro-batch of it. The remainder of an epoch is dropped. Independent of the
// number of real workers. An index may stand in `indices` several times, one after another. Random:
// kEpochOrder, keyed by (seed, epoch).
class TrainSampler {
 public:
  TrainSampler(SampleList indices, uint64_t seed, int64_t logical_workers, int64_t grad_accum_steps,
               int64_t micro_batch_size, const OrderOptions& order = {});
  // Errors of the constructor: DataError when fewer samples than one global batch ("... needs N
  // samples, the split has M; lower ...").
  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  int64_t global_batch_size() const { return num_leaves_ * micro_batch_size_; }
  // Micro-batches of (epoch, step) for leaves [first_leaf, first_leaf + num_leaves).
  std::vector<MicroBatchPlan> plan(int64_t epoch, int64_t step, int64_t first_leaf,
                                   int64_t num_leaves) const;

 private:
  int32_t repeat_of(int64_t at) const;

  SampleList indices_;
  OrderOptions order_;
  bool has_repeats_ = false;
  uint64_t seed_;
  int64_t num_leaves_;
  int64_t micro_batch_size_;
  int64_t steps_per_epoch_;
};

// Evaluation: every sample once. Batch j holds positions [j * b, (j + 1) * b) whatever the number
// of ranks (the last one may be smaller); rank r gets the batches j with j % world_size == r.
std::vector<MicroBatchPlan> plan_evaluation(const SampleList& indices, int64_t batch_size,
                                            int64_t rank, int64_t world_size);

}  // namespace podium::data_shards
