// Training plans from the order of the epoch, and the order of evaluation. Read next: loader.h.
#include "data_shards/plan/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace podium::data_shards {
namespace {

void require_positive(const char* name, int64_t value) {
  if (value < 1) throw RecipeError(fmt::format("{} is {}; it must be at least 1", name, value));
}

}  // namespace

TrainSampler::TrainSampler(SampleList indices, uint64_t seed, int64_t logical_workers,
                           int64_t grad_accum_steps, int64_t micro_batch_size,
                           const OrderOptions& order)
    : indices_(std::move(indices)), order_(order), seed_(seed) {
  require_positive("logical_workers", logical_workers);
  require_positive("grad_accum_steps", grad_accum_steps);
  require_positive("micro_batch_size", micro_batch_size);
  num_leaves_ = logical_workers * grad_accum_steps;
  micro_batch_size_ = micro_batch_size;
  const int64_t num_samples = indices_.size();
  for (int64_t at = 1; at < num_samples && !has_repeats_; ++at) {
    has_repeats_ = indices_[at] == indices_[at - 1];
  }
  steps_per_epoch_ = num_samples / global_batch_size();
  if (steps_per_epoch_ == 0) {
    throw DataError(fmt::format(
        "one step ({} logical workers x {} accumulation steps x {} samples) needs {} samples, the "
        "split has {}; lower the batch size or the number of logical workers",
        logical_workers, grad_accum_steps, micro_batch_size, global_batch_size(), num_samples));
  }
}

std::vector<MicroBatchPlan> TrainSampler::plan(int64_t epoch, int64_t step, int64_t first_leaf,
                                               int64_t num_leaves) const {
  if (step < 0 || step >= steps_per_epoch_ || first_leaf < 0 || num_leaves < 0 ||
      first_leaf + num_leaves > num_leaves_) {
    throw InternalError(
        fmt::format("no step {} with leaves [{}, {}): an epoch has {} steps of {} leaves", step,
                    first_leaf, first_leaf + num_leaves, steps_per_epoch_, num_leaves_));
  }
  const EpochOrder order(indices_.size(), order_, seed_, epoch);
  std::vector<MicroBatchPlan> plans;
  plans.reserve(static_cast<size_t>(num_leaves));
  for (int64_t leaf = first_leaf; leaf < first_leaf + num_leaves; ++leaf) {
    MicroBatchPlan plan{.epoch = epoch, .step = step, .leaf = leaf, .indices = {}, .repeats = {}};
    const int64_t begin = step * global_batch_size() + leaf * micro_batch_size_;
    plan.indices.reserve(static_cast<size_t>(micro_batch_size_));
    for (int64_t position = begin; position < begin + micro_batch_size_; ++position) {
      const int64_t at = order[position];
      plan.indices.push_back(indices_[at]);
      if (has_repeats_) plan.repeats.push_back(repeat_of(at));
    }
    plans.push_back(std::move(plan));
  }
  return plans;
}

// How often the index at this place of the list stands before it.
int32_t TrainSampler::repeat_of(int64_t at) const {
  int32_t repeat = 0;
  while (at - repeat > 0 && indices_[at - repeat - 1] == indices_[at]) ++repeat;
  return repeat;
}

std::vector<MicroBatchPlan> plan_evaluation(const SampleList& indices, int64_t batch_size,
                                            int64_t rank, int64_t world_size) {
  require_positive("the evaluation batch size", batch_size);
  if (world_size < 1 || rank < 0 || rank >= world_size) {
    throw InternalError(fmt::format("no rank {} of {}", rank, world_size));
  }
  const int64_t num_samples = indices.size();
  std::vector<MicroBatchPlan> plans;
  for (int64_t batch = rank; batch * batch_size < num_samples; batch += world_size) {
    MicroBatchPlan plan{.epoch = 0, .step = batch, .leaf = 0, .indices = {}, .repeats = {}};
    const int64_t end = std::min(num_samples, (batch + 1) * batch_size);
    for (int64_t at = batch * batch_size; at < end; ++at) plan.indices.push_back(indices[at]);
    plans.push_back(std::move(plan));
  }
  return plans;
}

}  // namespace podium::data_shards
