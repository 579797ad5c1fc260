// The training order and the evaluation order.
#include "data_shards/plan/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/error.h"

namespace podium::data_shards {
namespace {

using testing::HasSubstr;

std::vector<int64_t> positions(int64_t n) {
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < n; ++i) indices.push_back(100 + i);
  return indices;
}

std::vector<int64_t> epoch_order(const TrainSampler& sampler, int64_t epoch, int64_t num_leaves) {
  std::vector<int64_t> order;
  for (int64_t step = 0; step < sampler.steps_per_epoch(); ++step) {
    for (const MicroBatchPlan& plan : sampler.plan(epoch, step, 0, num_leaves)) {
      order.insert(order.end(), plan.indices.begin(), plan.indices.end());
    }
  }
  return order;
}

TEST(TrainSampler, AnEpochHoldsEverySampleOnceButTheRemainder) {
  const TrainSampler sampler(positions(27), 7, 2, 2, 3);
  EXPECT_EQ(sampler.global_batch_size(), 12);
  EXPECT_EQ(sampler.steps_per_epoch(), 2);
  const std::vector<int64_t> order = epoch_order(sampler, 0, 4);
  const std::set<int64_t> distinct(order.begin(), order.end());
  EXPECT_EQ(order.size(), 24u);
  EXPECT_EQ(distinct.size(), 24u);
  EXPECT_GE(*distinct.begin(), 100);
  EXPECT_LE(*distinct.rbegin(), 126);
}

TEST(TrainSampler, EpochsAndSeedsDiffer) {
  const TrainSampler sampler(positions(64), 7, 1, 1, 8);
  const TrainSampler other(positions(64), 8, 1, 1, 8);
  EXPECT_NE(epoch_order(sampler, 0, 1), epoch_order(sampler, 1, 1));
  EXPECT_NE(epoch_order(sampler, 0, 1), epoch_order(other, 0, 1));
  EXPECT_EQ(epoch_order(sampler, 3, 1), epoch_order(sampler, 3, 1));
}

// Two workers with two leaves each see what one worker with four leaves sees, and so does a run
// with accumulation.
TEST(TrainSampler, LeavesDoNotDependOnWhoRunsThem) {
  const TrainSampler four(positions(50), 7, 4, 1, 2);
  const TrainSampler accumulating(positions(50), 7, 2, 2, 2);
  for (int64_t step = 0; step < four.steps_per_epoch(); ++step) {
    const auto all = four.plan(5, step, 0, 4);
    const auto second_half = four.plan(5, step, 2, 2);
    ASSERT_EQ(all.size(), 4u);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(second_half[i].indices, all[i + 2].indices);
      EXPECT_EQ(second_half[i].leaf, static_cast<int64_t>(i + 2));
      EXPECT_EQ(second_half[i].step, step);
      EXPECT_EQ(second_half[i].epoch, 5);
    }
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(accumulating.plan(5, step, 0, 4)[i].indices, all[i].indices);
    }
  }
}

TEST(TrainSampler, TooFewSamplesNameBothCounts) {
  try {
    const TrainSampler sampler(positions(15), 7, 4, 2, 2);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("needs 16 samples, the split has 15"));
  }
  EXPECT_THROW(TrainSampler(positions(15), 7, 0, 2, 2), RecipeError);
}

TEST(PlanEvaluation, EverySampleOnceForAnyNumberOfRanks) {
  const std::vector<int64_t> indices = positions(23);
  const std::vector<MicroBatchPlan> alone = plan_evaluation(indices, 4, 0, 1);
  ASSERT_EQ(alone.size(), 6u);
  EXPECT_EQ(alone.back().indices, (std::vector<int64_t>{120, 121, 122}));
  for (const int64_t world_size : {1, 2, 3, 7}) {
    std::vector<int64_t> seen;
    for (int64_t rank = 0; rank < world_size; ++rank) {
      for (const MicroBatchPlan& plan : plan_evaluation(indices, 4, rank, world_size)) {
        EXPECT_EQ(plan.step % world_size, rank);
        EXPECT_EQ(plan.indices, alone[static_cast<size_t>(plan.step)].indices);
        seen.insert(seen.end(), plan.indices.begin(), plan.indices.end());
      }
    }
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, indices) << world_size;
  }
}

TEST(PlanEvaluation, NoSamplesNoBatches) { EXPECT_TRUE(plan_evaluation({}, 4, 0, 2).empty()); }

}  // namespace
}  // namespace podium::data_shards
