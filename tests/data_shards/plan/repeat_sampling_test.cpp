// Repetition of rare samples, and what the sampler makes of it.
#include "data_shards/plan/repeat_sampling.h"

#include <algorithm>
#include <map>

#include "data_shards/plan/sampler.h"
#include "tests/data_shards/pack_fixture.h"

namespace podium::data_shards {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Twelve samples: class a in all but the last, b in the last three (the first of them unknown), c
// in the last.
std::shared_ptr<const Dataset> make_set(const TestFolder& folder) {
  std::string csv = "img_id,img_path,a,b,c\n";
  for (int i = 0; i < 12; ++i) {
    const std::string n = std::to_string(i);
    write_image(folder / ("in/" + n + ".png"), 4, 4, static_cast<uint64_t>(i));
    csv += n + "," + n + ".png," + (i < 11 ? "1" : "0") + "," +
           (i == 9  ? "-1"
            : i > 9 ? "1"
                    : "0") +
           "," + (i == 11 ? "1" : "0") + "\n";
  }
  write_text(folder / "in/train.csv", csv);
  PackOptions options;
  options.input = folder / "in/train.csv";
  options.output = folder / "out";
  pack(options);
  return Dataset::open(options.output);
}

std::map<int64_t, int> counts_of(const SampleList& indices) {
  std::map<int64_t, int> counts;
  for (const int64_t index : indices) ++counts[index];
  return counts;
}

std::vector<int64_t> all_of(const Dataset& dataset) {
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < dataset.size(); ++i) indices.push_back(i);
  return indices;
}

TEST(RepeatSampling, EverythingIsRepeatedOnDemand) {
  const TestFolder folder;
  const auto dataset = make_set(folder);
  RepeatOptions options;
  EXPECT_EQ(repeat_indices(*dataset, all_of(*dataset), options, 1), all_of(*dataset));
  options.repeats = 3;
  EXPECT_THAT(repeat_indices(*dataset, {4, 7}, options, 1), ElementsAre(4, 4, 4, 7, 7, 7));
}

// By hand: shares 11/12, 2/12, 1/12; threshold 0.75 gives b sqrt(4.5) = 2.12 and c 3.
TEST(RepeatSampling, FactorIsThatOfTheRarestLabel) {
  const TestFolder folder;
  const auto dataset = make_set(folder);
  RepeatOptions options;
  options.balance = SampleBalance::kRepeatFactor;
  options.threshold = 0.75;
  int num_rounded_up = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    auto counts = counts_of(repeat_indices(*dataset, all_of(*dataset), options, seed));
    EXPECT_EQ(counts[0], 1);
    EXPECT_EQ(counts[9], 1);  // unknown is not positive
    EXPECT_EQ(counts[11], 3);
    EXPECT_THAT(counts[10], testing::AnyOf(2, 3));
    num_rounded_up += counts[10] == 3;
  }
  EXPECT_GT(num_rounded_up, 2);  // 12.1 expected
  EXPECT_LT(num_rounded_up, 30);
  options.largest_factor = 1.5;
  EXPECT_LE(counts_of(repeat_indices(*dataset, all_of(*dataset), options, 1))[11], 2);
}

// By hand: counts 11, 2, 1, so that b is worth 5.5 and c 11.
TEST(RepeatSampling, ClassesAreBalanced) {
  const TestFolder folder;
  const auto dataset = make_set(folder);
  RepeatOptions options;
  options.balance = SampleBalance::kClassBalanced;
  options.largest_factor = 100;
  auto counts = counts_of(repeat_indices(*dataset, all_of(*dataset), options, 1));
  EXPECT_EQ(counts[11], 11);
  EXPECT_THAT(counts[10], testing::AnyOf(5, 6));
  EXPECT_EQ(counts[3], 1);
}

TEST(RepeatSampling, UnknownNamesGetASuggestion) {
  EXPECT_EQ(parse_balance("class_balanced"), SampleBalance::kClassBalanced);
  EXPECT_THAT(message_of<RecipeError>([] { parse_balance("class_balance"); }),
              HasSubstr("did you mean \"class_balanced\""));
}

TEST(RepeatSampling, RepetitionsAreNumberedWithinTheEpoch) {
  const TrainSampler sampler({5, 6, 6, 6}, 1, 1, 1, 4);
  for (int64_t epoch = 0; epoch < 5; ++epoch) {
    const MicroBatchPlan plan = sampler.plan(epoch, 0, 0, 1).front();
    ASSERT_EQ(plan.repeats.size(), 4U);
    std::vector<std::pair<int64_t, int32_t>> pairs;
    for (size_t i = 0; i < 4; ++i) pairs.emplace_back(plan.indices[i], plan.repeats[i]);
    std::sort(pairs.begin(), pairs.end());
    EXPECT_THAT(pairs, ElementsAre(testing::Pair(5, 0), testing::Pair(6, 0), testing::Pair(6, 1),
                                   testing::Pair(6, 2)));
  }
  const TrainSampler once({5, 6}, 1, 1, 1, 2);
  EXPECT_TRUE(once.plan(0, 0, 0, 1).front().repeats.empty());
}

}  // namespace
}  // namespace podium::data_shards
