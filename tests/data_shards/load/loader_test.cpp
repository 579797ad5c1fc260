// The loader on small packed data sets: order, resumption, bad samples, masks.
#include "data_shards/load/loader.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <set>
#include <thread>

#include "base/error.h"
#include "data_shards/pack/pack.h"
#include "tests/data_shards/loader_test_util.h"

namespace podium::data_shards {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int kSide = 24;  // px

cv::Mat noise_image(int seed, int width = kSide, int height = kSide) {
  cv::Mat image(height, width, CV_8UC3);
  Rng rng(static_cast<uint64_t>(seed), RandomPurpose::kTest);
  for (int i = 0; i < width * height * 3; ++i) image.data[i] = static_cast<uint8_t>(rng.below(256));
  return image;
}

// `num_samples` multi-label samples img_000 ... with classes a, b: a = i % 2, b unknown for every
// third.
std::filesystem::path pack_multi_label(const TemporaryFolder& folder, int num_samples) {
  std::string csv = "img_id,img_path,a,b\n";
  for (int i = 0; i < num_samples; ++i) {
    folder.write(fmt::format("raw/{:03}.png", i), encode_png(noise_image(i)));
    csv += fmt::format("img_{:03},raw/{:03}.png,{},{}\n", i, i, i % 2, i % 3 == 0 ? "" : "1");
  }
  PackOptions options;
  options.input = folder.write("labels.csv", csv);
  options.output = folder.path() / "packed";
  options.max_shard_bytes = 20480;
  options.num_threads = 1;
  pack(options);
  return options.output;
}

std::shared_ptr<const TransformPipeline> training_transforms() {
  return std::make_shared<TransformPipeline>(std::vector<PartSpec>{
      make_op("random_resized_crop", {{"size", {16}}}), make_op("hflip"), make_op("normalize")});
}
std::shared_ptr<const TransformPipeline> plain_transforms() {
  return std::make_shared<TransformPipeline>(
      std::vector<PartSpec>{make_op("resize", {{"size", {kSide}}})});
}

std::function<std::optional<MicroBatchPlan>()> in_turn(std::vector<MicroBatchPlan> plans) {
  return [plans = std::move(plans), next = size_t{0}]() mutable -> std::optional<MicroBatchPlan> {
    if (next == plans.size()) return std::nullopt;
    return plans[next++];
  };
}

std::vector<int64_t> all_of(const Dataset& dataset) {
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < dataset.size(); ++i) indices.push_back(i);
  return indices;
}

std::vector<MicroBatchPlan> training_plans(const Dataset& dataset, int64_t first_epoch,
                                           int64_t first_step, int64_t num_epochs) {
  const TrainSampler sampler(all_of(dataset), 5, 2, 1, 3);
  std::vector<MicroBatchPlan> plans;
  for (int64_t epoch = first_epoch; epoch < num_epochs; ++epoch) {
    for (int64_t step = epoch == first_epoch ? first_step : 0; step < sampler.steps_per_epoch();
         ++step) {
      for (MicroBatchPlan& plan : sampler.plan(epoch, step, 0, 2)) plans.push_back(std::move(plan));
    }
  }
  return plans;
}

LoaderOptions options_with(int num_threads) {
  LoaderOptions options;
  options.seed = 5;
  options.num_threads = num_threads;
  options.prefetch_batches = 3;
  return options;
}

std::vector<Batch> drain(Loader* loader) {
  std::vector<Batch> batches;
  while (std::optional<Batch> batch = loader->next()) batches.push_back(std::move(*batch));
  return batches;
}

void expect_equal(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].keys, b[i].keys) << i;
    ASSERT_EQ(a[i].images.nbytes(), b[i].images.nbytes());
    EXPECT_EQ(std::memcmp(a[i].images.data_ptr(), b[i].images.data_ptr(), a[i].images.nbytes()), 0)
        << i;
    EXPECT_TRUE(a[i].class_vectors.equal(b[i].class_vectors)) << i;
  }
}

TEST(Loader, BatchesAreEqualForAnyNumberOfThreadsAndReader) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 20));
  Loader alone(dataset, training_transforms(), in_turn(training_plans(*dataset, 0, 0, 2)), true,
               options_with(1));
  const std::vector<Batch> expected = drain(&alone);
  ASSERT_EQ(expected.size(), 12u);  // 2 epochs x 3 steps x 2 leaves
  LoaderOptions options = options_with(4);
  options.reader = ReaderKind::kPread;
  Loader four(dataset, training_transforms(), in_turn(training_plans(*dataset, 0, 0, 2)), true,
              options);
  expect_equal(drain(&four), expected);
}

TEST(Loader, GoesOnFromAnyEpochAndStep) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 20));
  Loader whole(dataset, training_transforms(), in_turn(training_plans(*dataset, 0, 0, 2)), true,
               options_with(2));
  std::vector<Batch> expected = drain(&whole);
  expected.erase(expected.begin(), expected.begin() + 8);  // 1 epoch and 1 step of 2 leaves
  Loader resumed(dataset, training_transforms(), in_turn(training_plans(*dataset, 1, 1, 2)), true,
                 options_with(2));
  expect_equal(drain(&resumed), expected);
}

TEST(Loader, ASampleLooksDifferentInEachEpochButNotInEvaluation) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 1));
  const std::vector<MicroBatchPlan> plans = {{.epoch = 0, .indices = {0}},
                                             {.epoch = 1, .indices = {0}}};
  Loader training(dataset, training_transforms(), in_turn(plans), true, options_with(2));
  const std::vector<Batch> seen = drain(&training);
  EXPECT_FALSE(seen[0].images.equal(seen[1].images));
  Loader evaluation(dataset, training_transforms(), in_turn(plans), false, options_with(2));
  const std::vector<Batch> again = drain(&evaluation);
  EXPECT_TRUE(again[0].images.equal(again[1].images));
}

TEST(Loader, DeliversPixelsAndLabelsOfTheKey) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 7));
  Loader loader(dataset, plain_transforms(), in_turn(plan_evaluation(all_of(*dataset), 3, 0, 1)),
                false, options_with(2));
  const std::vector<Batch> batches = drain(&loader);
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[2].size(), 1);
  std::set<std::string> keys;
  for (const Batch& batch : batches) {
    for (int64_t slot = 0; slot < batch.size(); ++slot) {
      const std::string& key = batch.keys[static_cast<size_t>(slot)];
      EXPECT_TRUE(keys.insert(key).second) << key;
      const int number = std::stoi(key.substr(4));
      const float* image = batch.images.data_ptr<float>() + slot * 3 * kSide * kSide;
      const cv::Mat expected = noise_image(number);
      for (int i = 0; i < kSide * kSide; ++i) {
        ASSERT_NEAR(image[i] * 255, expected.data[3 * i], 1e-3) << key;
        ASSERT_NEAR(image[i + 2 * kSide * kSide] * 255, expected.data[3 * i + 2], 1e-3) << key;
      }
      const float* labels = batch.class_vectors.data_ptr<float>() + slot * 2;
      EXPECT_EQ(labels[0], static_cast<float>(number % 2));
      EXPECT_EQ(labels[1], number % 3 == 0 ? kUnknownLabel : 1.0f);
    }
  }
  EXPECT_EQ(keys.size(), 7u);
}

TEST(Loader, EvaluationCountsEverySampleOnceForAnyNumberOfRanks) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 11));
  for (const int64_t world_size : {1, 2, 3}) {
    std::multiset<std::string> keys;
    for (int64_t rank = 0; rank < world_size; ++rank) {
      Loader loader(dataset, plain_transforms(),
                    in_turn(plan_evaluation(all_of(*dataset), 2, rank, world_size)), false,
                    options_with(1));
      for (const Batch& batch : drain(&loader)) keys.insert(batch.keys.begin(), batch.keys.end());
    }
    EXPECT_EQ(keys.size(), 11u) << world_size;
    EXPECT_EQ(std::set<std::string>(keys.begin(), keys.end()).size(), 11u) << world_size;
  }
}

TEST(Loader, StopsWhileBatchesAreWaiting) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 20));
  for (int num_taken = 0; num_taken < 4; ++num_taken) {
    Loader loader(dataset, training_transforms(), in_turn(training_plans(*dataset, 0, 0, 5)), true,
                  options_with(3));
    for (int i = 0; i < num_taken; ++i) ASSERT_TRUE(loader.next());
  }
}

TEST(Loader, TakesNoMorePlansThanItMayHoldReady) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 20));
  int64_t num_plans = 0;
  const auto endless = [&]() -> std::optional<MicroBatchPlan> {
    ++num_plans;
    return MicroBatchPlan{.epoch = num_plans, .indices = {0, 1}};
  };
  Loader loader(dataset, training_transforms(), endless, true, options_with(2));
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(loader.next());
  EXPECT_LE(num_plans, 50 + 3);
  EXPECT_GE(loader.wait_seconds(), 0);
}

// Batches use the memory of batches that are gone: after the first few no new addresses appear.
TEST(Loader, MemoryIsUsedAgain) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 20));
  int64_t num_plans = 0;
  const auto plans = [&]() -> std::optional<MicroBatchPlan> {
    return MicroBatchPlan{.epoch = ++num_plans, .indices = {0, 1, 2, 3}};
  };
  Loader loader(dataset, training_transforms(), plans, true, options_with(2));
  std::set<const void*> addresses;
  for (int i = 0; i < 60; ++i) addresses.insert(loader.next()->images.data_ptr());
  EXPECT_LE(addresses.size(), 5u);  // 3 in the queue, 1 with the consumer, 1 on its way
}

const MemberRecord& image_of(const SampleRecord& sample) {
  for (const MemberRecord& member : sample.members) {
    if (member.extension == "png") return member;
  }
  throw InternalError(sample.key + " has no image");
}

// Flips one bit in the image of `key`.
void damage(const Dataset& dataset, const std::string& key) {
  const SampleRecord& sample = dataset.sample(dataset.find(key));
  const auto file = dataset.directory() / dataset.shard(sample.shard).file;
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  const int64_t place = image_of(sample).offset + 40;
  stream.seekg(place);
  const int byte = stream.get();
  stream.seekp(place);
  stream.put(static_cast<char>(byte ^ 4));
}

TEST(Loader, AFlippedBitEndsTheRunWhenItsBatchIsDue) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 8));
  damage(*dataset, "img_004");
  const SampleRecord& sample = dataset->sample(dataset->find("img_004"));
  for (const ReaderKind reader : {ReaderKind::kMmap, ReaderKind::kPread}) {
    LoaderOptions options = options_with(2);
    options.reader = reader;
    const std::vector<MicroBatchPlan> plans = {{.indices = {0, 1}},
                                               {.indices = {2, dataset->find("img_004")}}};
    Loader loader(dataset, plain_transforms(), in_turn(plans), true, options);
    EXPECT_TRUE(loader.next());
    try {
      loader.next();
      FAIL();
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr(fmt::format(
                                    "shard {}: sample \"img_004\" (offset {}): checksum",
                                    dataset->shard(sample.shard).file, image_of(sample).offset)));
      EXPECT_THAT(error.what(), HasSubstr(fmt::format("expected {:016x}", image_of(sample).xxh3)));
    }
  }
}

TEST(Loader, ABadSampleIsReplacedInTrainingAndListedOnce) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 8));
  damage(*dataset, "img_001");
  damage(*dataset, "img_003");
  LoaderOptions options = options_with(3);
  options.skip_bad_samples = true;
  std::vector<int64_t> first_four;
  for (const char* key : {"img_000", "img_001", "img_002", "img_003"})
    first_four.push_back(dataset->find(key));
  const std::vector<MicroBatchPlan> plans = {{.indices = first_four},
                                             {.epoch = 1, .indices = first_four}};
  Loader loader(dataset, plain_transforms(), in_turn(plans), true, options);
  for (const Batch& batch : drain(&loader)) {
    // A bad slot holds the next good sample; after the last one the first.
    EXPECT_THAT(batch.keys, ElementsAre("img_000", "img_002", "img_002", "img_000"));
    EXPECT_EQ(batch.indices[1], dataset->find("img_002"));
    EXPECT_TRUE(batch.images[1].equal(batch.images[2]));
    EXPECT_TRUE(batch.images[3].equal(batch.images[0]));
    EXPECT_TRUE(batch.class_vectors[3].equal(batch.class_vectors[0]));
  }
  const std::vector<BadSample> bad = loader.bad_samples();
  ASSERT_EQ(bad.size(), 2u);
  EXPECT_THAT(bad[0].place, HasSubstr("img_001"));
  EXPECT_THAT(bad[0].reason, HasSubstr("checksum"));
  EXPECT_THAT(bad[1].place, HasSubstr("img_003"));
}

TEST(Loader, ABadSampleIsLeftOutInEvaluation) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 6));
  for (const char* key : {"img_000", "img_002", "img_003"}) damage(*dataset, key);
  LoaderOptions options = options_with(2);
  options.skip_bad_samples = true;
  std::vector<int64_t> in_key_order;
  for (int i = 0; i < 6; ++i) in_key_order.push_back(dataset->find(fmt::format("img_{:03}", i)));
  Loader loader(dataset, plain_transforms(), in_turn(plan_evaluation(in_key_order, 2, 0, 1)), false,
                options);
  const std::vector<Batch> batches = drain(&loader);
  ASSERT_EQ(batches.size(), 2u);  // of the second batch nothing is left
  EXPECT_THAT(batches[0].keys, ElementsAre("img_001"));
  EXPECT_EQ(batches[0].images.size(0), 1);
  EXPECT_EQ(batches[0].class_vectors[0][0].item<float>(), 1.0f);
  EXPECT_NEAR(batches[0].images[0][0][0][0].item<float>() * 255, noise_image(1).data[0], 1e-3);
  EXPECT_THAT(batches[1].keys, ElementsAre("img_004", "img_005"));
  EXPECT_EQ(loader.bad_samples().size(), 3u);
}

TEST(Loader, ABatchOfBadSamplesIsAnErrorInTraining) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 3));
  damage(*dataset, "img_001");
  LoaderOptions options = options_with(1);
  options.skip_bad_samples = true;
  const std::vector<MicroBatchPlan> plans = {{.indices = {dataset->find("img_001")}}};
  Loader loader(dataset, plain_transforms(), in_turn(plans), true, options);
  try {
    loader.next();
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("all 1 samples of a batch are bad"));
  }
}

TEST(Loader, UnknownImageMemberIsNamed) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 2));
  LoaderOptions options = options_with(1);
  options.image_members = {"pngg"};
  try {
    const Loader loader(dataset, plain_transforms(), in_turn({}), false, options);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("no image member \"pngg\" (did you mean \"png\"?)"));
  }
}

// What follows is for the sanitizers too: as many threads as a node gives a worker.
constexpr int kManyThreads = 8;

TEST(LoaderThreads, SlowConsumerGetsTheSameBatchesAndNoMoreAreMadeReady) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 20));
  const std::vector<MicroBatchPlan> plans = training_plans(*dataset, 0, 0, 2);
  Loader alone(dataset, training_transforms(), in_turn(plans), true, options_with(1));
  const std::vector<Batch> expected = drain(&alone);
  int64_t num_plans = 0;
  const auto counted = [&, next = in_turn(plans)]() mutable {
    ++num_plans;
    return next();
  };
  Loader loader(dataset, training_transforms(), counted, true, options_with(kManyThreads));
  std::vector<Batch> batches;
  while (std::optional<Batch> batch = loader.next()) {
    batches.push_back(std::move(*batch));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_LE(num_plans, std::ssize(batches) + 4);  // 3 ahead, and the one that says it is the end
  }
  expect_equal(batches, expected);
}

// Fast and slow consumers stop anywhere; batches that they keep outlive the loader.
TEST(LoaderThreads, StopAtAnyTimeAndBatchesOutliveTheLoader) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 20));
  const std::vector<MicroBatchPlan> plans = training_plans(*dataset, 0, 0, 2);
  Loader alone(dataset, training_transforms(), in_turn(plans), true, options_with(1));
  const std::vector<Batch> expected = drain(&alone);
  for (size_t num_taken = 0; num_taken < 5; ++num_taken) {
    std::vector<Batch> kept;
    {
      Loader loader(dataset, training_transforms(), in_turn(plans), true,
                    options_with(kManyThreads));
      for (size_t i = 0; i < num_taken; ++i) kept.push_back(*loader.next());
    }
    expect_equal(kept, {expected.begin(), expected.begin() + static_cast<int64_t>(num_taken)});
  }
}

// Several threads fail at once: the first bad slot of the first bad batch is what the run ends
// with, and batches before it are delivered, whoever was faster.
TEST(LoaderThreads, TheErrorDoesNotDependOnWhoFailsFirst) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 12));
  for (const char* key : {"img_004", "img_005", "img_006", "img_008"}) damage(*dataset, key);
  std::vector<MicroBatchPlan> plans;
  for (int i = 0; i < 12; i += 4) {
    MicroBatchPlan plan{.indices = {}};
    for (int k = 0; k < 4; ++k)
      plan.indices.push_back(dataset->find(fmt::format("img_{:03}", i + k)));
    plans.push_back(plan);
  }
  for (int round = 0; round < 10; ++round) {
    Loader loader(dataset, plain_transforms(), in_turn(plans), true, options_with(kManyThreads));
    EXPECT_THAT(loader.next()->keys, ElementsAre("img_000", "img_001", "img_002", "img_003"));
    try {
      loader.next();
      FAIL();
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr("sample \"img_004\""));
    }
  }
}

TEST(LoaderThreads, BadSamplesAreListedInOrderWhoeverMeetsThem) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 16));
  for (const char* key : {"img_001", "img_006", "img_007", "img_013"}) damage(*dataset, key);
  LoaderOptions options = options_with(kManyThreads);
  options.skip_bad_samples = true;
  Loader loader(dataset, plain_transforms(), in_turn(plan_evaluation(all_of(*dataset), 4, 0, 1)),
                false, options);
  EXPECT_EQ(drain(&loader).size(), 4u);
  std::vector<std::string> places;
  for (const BadSample& bad : loader.bad_samples()) places.push_back(bad.place);
  EXPECT_THAT(places, ElementsAre(HasSubstr("img_001"), HasSubstr("img_006"), HasSubstr("img_007"),
                                  HasSubstr("img_013")));
}

// The plans come from the consumer's thread; an error there leaves no thread behind.
TEST(LoaderThreads, AnErrorOfThePlansReachesTheConsumer) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 8));
  int num_plans = 0;
  const auto plans = [&]() -> std::optional<MicroBatchPlan> {
    if (++num_plans == 6) throw DataError("no more plans");
    return MicroBatchPlan{.epoch = num_plans, .indices = {0, 1, 2, 3}};
  };
  Loader loader(dataset, training_transforms(), plans, true, options_with(kManyThreads));
  int num_batches = 0;
  EXPECT_THROW(while (loader.next())++ num_batches, DataError);
  EXPECT_GE(num_batches, 1);
  EXPECT_LE(num_batches, 5);
}

TEST(LoaderThreads, ThreadsEndWhenTheConstructorFails) {
  const TemporaryFolder folder;
  const auto dataset = Dataset::open(pack_multi_label(folder, 8));
  const auto plans = []() -> std::optional<MicroBatchPlan> { throw DataError("no plan at all"); };
  for (int round = 0; round < 5; ++round) {
    EXPECT_THROW(Loader(dataset, training_transforms(), plans, true, options_with(kManyThreads)),
                 DataError);
  }
}

}  // namespace
}  // namespace podium::data_shards
