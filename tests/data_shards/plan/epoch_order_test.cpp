// Orders of an epoch: what they hold, how far apart they reach, and that they are pure functions.
#include "data_shards/plan/epoch_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/permutation.h"
#include "data_shards/plan/sampler.h"
#include "tests/message_of.h"

namespace podium::data_shards {
namespace {

using testing::HasSubstr;

OrderOptions blocks_of(int64_t block_samples, int64_t window_blocks) {
  return {SampleOrder::kBlocks, block_samples, window_blocks};
}

std::vector<int64_t> elements(int64_t n, const OrderOptions& options, uint64_t seed, int64_t epoch,
                              int64_t first, int64_t last) {
  const EpochOrder order(n, options, seed, epoch);
  std::vector<int64_t> found;
  for (int64_t position = first; position < last; ++position) found.push_back(order[position]);
  return found;
}

std::vector<int64_t> whole(int64_t n, const OrderOptions& options, uint64_t seed, int64_t epoch) {
  return elements(n, options, seed, epoch, 0, n);
}

// Runs of neighbours on a ring of n places.
int64_t count_runs(std::vector<int64_t> places, int64_t n) {
  std::sort(places.begin(), places.end());
  int64_t runs = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    const int64_t before = i > 0 ? places[i - 1] : places.back() - n;
    runs += places[i] != before + 1;
  }
  return runs;
}

// So that runs of before there were blocks go on as they were.
TEST(EpochOrder, PermutationIsTheKeyedOne) {
  const KeyedPermutation permutation(1000, 7, 3);
  const EpochOrder order(1000, {}, 7, 3);
  for (int64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(order[i], static_cast<int64_t>(permutation[static_cast<uint64_t>(i)]));
  }
}

TEST(EpochOrder, BlocksHoldEverySampleOnce) {
  for (const int64_t n : {1, 2, 7, 64, 100, 1000, 1023}) {
    for (const int64_t block : {1, 3, 16, 1000}) {
      for (const int64_t window : {1, 2, 5, 100}) {
        std::vector<int64_t> order = whole(n, blocks_of(block, window), 5, 2);
        std::sort(order.begin(), order.end());
        std::vector<int64_t> expected(static_cast<size_t>(n));
        std::iota(expected.begin(), expected.end(), 0);
        ASSERT_EQ(order, expected) << n << " samples, " << block << " x " << window;
      }
    }
  }
}

// A window of 8 blocks of 32 lies in at most 8 places of the set, the last one in less than 16.
TEST(EpochOrder, AWindowLiesInFewPlaces) {
  constexpr int64_t kSamples = 10'000;
  for (int64_t epoch = 0; epoch < 5; ++epoch) {
    const std::vector<int64_t> order = whole(kSamples, blocks_of(32, 8), 1, epoch);
    constexpr int64_t kWindow = 256;
    constexpr int64_t kWindows = kSamples / 32 / 8;
    for (int64_t window = 0; window < kWindows; ++window) {
      const auto begin = order.begin() + window * kWindow;
      const bool is_last = window + 1 == kWindows;
      const std::vector<int64_t> places(begin, is_last ? order.end() : begin + kWindow);
      EXPECT_LE(count_runs(places, kSamples), is_last ? 16 : 8) << window;
    }
    EXPECT_GT(count_runs({order.begin(), order.begin() + kWindow}, kSamples), 4);
  }
}

// Every batch sees nearly all blocks of its window, and neighbours seldom follow each other.
TEST(EpochOrder, BatchesOfAWindowAreMixed) {
  const std::vector<int64_t> order = whole(64 * 1024, blocks_of(256, 16), 1, 0);
  int64_t num_neighbours = 0;
  for (size_t batch = 0; batch + 64 <= 8192; batch += 64) {
    const auto begin = order.begin() + static_cast<int64_t>(batch);
    EXPECT_GE(count_runs({begin, begin + 64}, 64 * 1024), 16);
    std::set<int64_t> near_256;  // about the blocks, whose borders are not known here
    for (auto at = begin; at != begin + 64; ++at) near_256.insert(*at / 256);
    EXPECT_GE(near_256.size(), 12U);
    for (auto at = begin + 1; at != begin + 64; ++at) num_neighbours += *at == *(at - 1) + 1;
  }
  EXPECT_LT(num_neighbours, 20);  // 2 of 8192 expected
}

TEST(EpochOrder, EpochsAndSeedsDiffer) {
  const OrderOptions options = blocks_of(16, 4);
  const auto window = [&](uint64_t seed, int64_t epoch) {
    return elements(1000, options, seed, epoch, 0, 64);
  };
  EXPECT_EQ(window(1, 0), window(1, 0));
  const auto sorted = [](std::vector<int64_t> places) {
    std::sort(places.begin(), places.end());
    return places;
  };
  // Not only the order within a window differs, but what is in it.
  EXPECT_NE(sorted(window(1, 0)), sorted(window(1, 1)));
  EXPECT_NE(sorted(window(1, 0)), sorted(window(2, 0)));
  // The borders too: with fixed ones all runs would begin at a multiple of 16.
  std::set<int64_t> borders;
  for (int64_t epoch = 0; epoch < 10; ++epoch) {
    const std::vector<int64_t> places = sorted(window(1, epoch));
    for (size_t i = 1; i < places.size(); ++i) {
      if (places[i] != places[i - 1] + 1) borders.insert(places[i] % 16);
    }
  }
  EXPECT_GT(borders.size(), 4U);
}

TEST(EpochOrder, PlansOfBlocksDoNotDependOnWorkersOrWhereARunGoesOn) {
  const SampleList indices = SampleList::range(100, 500);
  const OrderOptions options = blocks_of(8, 4);
  const TrainSampler sampler(indices, 3, 4, 1, 5, options);
  std::set<int64_t> seen;
  for (int64_t step = 0; step < sampler.steps_per_epoch(); ++step) {
    const auto alone = sampler.plan(2, step, 0, 4);
    for (const int64_t num_workers : {2, 4}) {
      const TrainSampler resumed(indices, 3, 4, 1, 5, options);
      const int64_t leaves = 4 / num_workers;
      for (int64_t first = 0; first < 4; first += leaves) {
        const auto part = resumed.plan(2, step, first, leaves);
        for (size_t i = 0; i < part.size(); ++i) {
          EXPECT_EQ(part[i].indices, alone[static_cast<size_t>(first) + i].indices);
        }
      }
    }
    for (const MicroBatchPlan& plan : alone) seen.insert(plan.indices.begin(), plan.indices.end());
  }
  EXPECT_EQ(seen.size(), 500U);
  EXPECT_EQ(*seen.begin(), 100);
}

TEST(EpochOrder, WrongOptionsAreNamed) {
  EXPECT_EQ(parse_order("blocks"), SampleOrder::kBlocks);
  EXPECT_THAT(message_of<RecipeError>([] { parse_order("block"); }),
              HasSubstr("did you mean \"blocks\""));
  EXPECT_THAT(message_of<RecipeError>([] { EpochOrder(10, blocks_of(0, 2), 1, 1); }),
              HasSubstr("blocks of 0 samples, 2 mixed"));
}

}  // namespace
}  // namespace podium::data_shards
