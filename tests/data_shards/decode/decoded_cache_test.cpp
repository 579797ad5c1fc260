// The cache of decoded pixels: batches are the same with it and without; damage, full disks and
// several owners of one file.
#include "data_shards/decode/decoded_cache.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "data_shards/decode/cached_image.h"
#include "data_shards/load/loader.h"
#include "data_shards/pack/pack.h"
#include "tests/data_shards/loader_test_util.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int kNumSamples = 10;

cv::Mat noise(int seed, int width, int height, int type = CV_8UC3) {
  cv::Mat image(height, width, type);
  Rng rng(static_cast<uint64_t>(seed), RandomPurpose::kTest);
  const auto num_bytes = static_cast<int64_t>(image.total() * image.elemSize());
  for (int64_t i = 0; i < num_bytes; ++i) image.data[i] = static_cast<uint8_t>(rng.below(256));
  return image;
}

// Images of many sizes with masks of the classes 0 and 1.
std::shared_ptr<const Dataset> pack_masks(const TemporaryFolder& folder,
                                          const std::string& format = "jpg") {
  fs::create_directories(folder.path() / "in/images");
  fs::create_directories(folder.path() / "in/masks");
  for (int i = 0; i < kNumSamples; ++i) {
    const int width = 60 + 11 * i, height = 90 - 4 * i;
    const std::string name = fmt::format("{:02}", i);
    cv::imwrite(folder.path() / "in/images" / (name + "." + format), noise(i, width, height));
    cv::Mat mask = noise(100 + i, width, height, CV_8UC1);
    mask &= 1;
    cv::imwrite(folder.path() / "in/masks" / (name + ".png"), mask);
  }
  PackOptions options;
  options.layout = "image_mask";
  options.input = folder.path() / "in";
  options.output = folder.path() / "packed";
  options.num_threads = 1;
  pack(options);
  return Dataset::open(options.output);
}

// Crops of several sizes into 16 px, so that JPEGs are reduced by all denominators, and operations
// that would write to their input if they could.
std::shared_ptr<const TransformPipeline> transforms() {
  return std::make_shared<TransformPipeline>(std::vector<PartSpec>{
      make_op("random_resized_crop", {{"size", {16}}, {"scale", {0.05, 1.0}}}), make_op("hflip"),
      make_op("rand_augment"), make_op("cutout"), make_op("normalize")});
}

struct Pixels {
  std::vector<at::Tensor> images, masks;
};

Pixels load(std::shared_ptr<const Dataset> dataset, std::shared_ptr<DecodedCache> cache,
            int num_threads, int num_epochs = 3) {
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < dataset->size(); ++i) indices.push_back(i);
  const TrainSampler sampler(indices, 5, 1, 1, 5);
  int64_t next = 0;
  LoaderOptions options;
  options.seed = 5;
  options.num_threads = num_threads;
  options.cache = std::move(cache);
  Loader loader(
      dataset, transforms(),
      [&]() -> std::optional<MicroBatchPlan> {
        const int64_t step = next++;
        if (step == num_epochs * sampler.steps_per_epoch()) return std::nullopt;
        return sampler
            .plan(step / sampler.steps_per_epoch(), step % sampler.steps_per_epoch(), 0, 1)
            .front();
      },
      true, options);
  Pixels pixels;
  while (auto batch = loader.next()) {
    pixels.images.push_back(batch->images.clone());
    pixels.masks.push_back(batch->masks.clone());
  }
  return pixels;
}

void expect_equal(const Pixels& found, const Pixels& expected) {
  ASSERT_EQ(found.images.size(), expected.images.size());
  for (size_t i = 0; i < found.images.size(); ++i) {
    EXPECT_TRUE(found.images[i].equal(expected.images[i])) << i;
    EXPECT_TRUE(found.masks[i].equal(expected.masks[i])) << i;
  }
}

fs::path file_of(const fs::path& directory) {
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() == ".cache") return entry.path();
  }
  ADD_FAILURE() << "no cache file";
  return {};
}

void overwrite(const fs::path& file, int64_t offset, const std::string& bytes) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(offset);
  stream << bytes;
}

// Header and table of the sets above: one page, and 10 samples x 2 members x 4 places of 8 bytes.
constexpr int64_t kFirstBlock = 8192;

void expect_same_batches_with_and_without(const std::string& format) {
  const TemporaryFolder folder;
  const auto dataset = pack_masks(folder, format);
  const Pixels expected = load(dataset, nullptr, 1);
  // No room, room for some, room for all; in memory and in a file.
  for (const int64_t max_bytes : {int64_t{0}, int64_t{60000}, int64_t{1} << 20}) {
    for (const fs::path& directory : {fs::path(), folder.path() / std::to_string(max_bytes)}) {
      for (const int num_threads : {1, 4}) {
        auto cache =
            std::make_shared<DecodedCache>(dataset, DecodedCacheOptions{directory, max_bytes});
        expect_equal(load(dataset, cache, num_threads), expected);
        if (max_bytes == 0) {
          EXPECT_EQ(cache->num_kept(), 0);
        }
        if (max_bytes > 0) {
          EXPECT_GT(cache->num_kept(), 0);  // how many depends on who comes first
        }
        if (max_bytes > 60000) {
          EXPECT_GE(cache->num_kept(), 2 * kNumSamples);
        }
        EXPECT_EQ(cache->num_damaged(), 0);
      }
    }
  }
}

TEST(DecodedCache, BatchesAreTheSameWithAndWithout) {
  expect_same_batches_with_and_without("jpg");
  expect_same_batches_with_and_without("png");
}

// Nothing of the shards is read any more: they may hold anything.
TEST(DecodedCache, ALaterRunDecodesNothing) {
  const TemporaryFolder folder;
  const auto dataset = pack_masks(folder);
  const DecodedCacheOptions options{folder.path() / "cache", 1 << 20};
  const Pixels expected = load(dataset, std::make_shared<DecodedCache>(dataset, options), 2);
  const fs::path shard = dataset->directory() / dataset->shard(0).file;
  fs::permissions(shard, fs::perms::owner_all);
  overwrite(shard, 0, std::string(fs::file_size(shard), 'x'));
  const auto cache = std::make_shared<DecodedCache>(dataset, options);
  expect_equal(load(dataset, cache, 2), expected);
  EXPECT_THROW(load(dataset, nullptr, 2), DataError);
}

TEST(DecodedCache, SeveralOwnersShareAFile) {
  const TemporaryFolder folder;
  const auto dataset = pack_masks(folder);
  const Pixels expected = load(dataset, nullptr, 1);
  const DecodedCacheOptions options{folder.path() / "cache", 1 << 20};
  std::vector<std::thread> owners;
  for (int i = 0; i < 3; ++i) {
    owners.emplace_back([&] {
      expect_equal(load(dataset, std::make_shared<DecodedCache>(dataset, options), 2), expected);
    });
  }
  for (std::thread& owner : owners) owner.join();
  const DecodedCache alone(dataset, {{}, 1 << 20});
  EXPECT_EQ(alone.num_kept(), 0);
  const DecodedCache shared(dataset, options);
  EXPECT_GE(shared.num_kept(), 2 * kNumSamples);
}

TEST(DecodedCache, AnotherDataSetHasAnotherFile) {
  const TemporaryFolder folder;
  const TemporaryFolder other_folder;
  const auto dataset = pack_masks(folder);
  fs::create_directories(other_folder.path() / "in/a");
  cv::imwrite(other_folder.path() / "in/a/x.png", noise(1, 20, 20));
  PackOptions pack_options;
  pack_options.layout = "class_folders";
  pack_options.input = other_folder.path() / "in";
  pack_options.output = other_folder.path() / "packed";
  pack(pack_options);
  const DecodedCacheOptions options{folder.path() / "cache", 1 << 20};
  DecodedCache first(dataset, options);
  DecodedCache second(Dataset::open(pack_options.output), options);
  first.store(0, 1, {noise(1, 8, 8), 8, 8, false});
  EXPECT_TRUE(first.find(0, 1));
  EXPECT_FALSE(second.find(0, 1));
}

TEST(DecodedCache, KeepsWhatItIsGivenByDenominator) {
  const TemporaryFolder folder;
  const auto dataset = pack_masks(folder);
  DecodedCache cache(dataset, {{}, 1 << 20});
  const int64_t number = cache.number_of(3, "jpg");
  EXPECT_NE(number, cache.number_of(3, "mask.png"));
  EXPECT_EQ(cache.number_of(3, "cls"), -1);
  EXPECT_FALSE(cache.find_any(number));
  EXPECT_FALSE(cache.holds(number));
  const cv::Mat pixels = noise(1, 7, 5);
  cache.store(number, 4, {pixels, 27, 20, true});
  EXPECT_TRUE(cache.holds(number));
  EXPECT_FALSE(cache.find(number, 2));
  const auto found = cache.find(number, 4);
  ASSERT_TRUE(found && cache.find_any(number));
  EXPECT_EQ(largest_difference(found->pixels, pixels), 0);
  EXPECT_EQ(found->width, 27);
  EXPECT_EQ(found->height, 20);
  EXPECT_TRUE(found->can_reduce);
  EXPECT_THAT(cache.summary(), HasSubstr("1 images and masks, 192 B of 1.0 MB"));
}

TEST(DecodedCache, AFlippedBitIsNoticedAndDecodedAnew) {
  const TemporaryFolder folder;
  const auto dataset = pack_masks(folder, "png");
  const DecodedCacheOptions options{folder.path() / "cache", 1 << 20};
  const Pixels expected = load(dataset, std::make_shared<DecodedCache>(dataset, options), 1);
  const fs::path file = file_of(options.directory);
  // The checksum, a pixel of the first block, the height of its pixels, and where the pixels of the
  // first image are.
  for (const int64_t offset :
       {kFirstBlock, kFirstBlock + 64 + 100, kFirstBlock + 18, int64_t{4096 + 1}}) {
    const std::string bytes = read_file(file);
    overwrite(file, offset,
              std::string(1, static_cast<char>(bytes[static_cast<size_t>(offset)] ^ 4)));
    const auto cache = std::make_shared<DecodedCache>(dataset, options);
    expect_equal(load(dataset, cache, 1), expected);
    EXPECT_EQ(cache->num_damaged(), 1) << offset;
    overwrite(file, 0, bytes);
  }
}

TEST(DecodedCache, ADamagedOrCutFileIsMadeAnew) {
  const TemporaryFolder folder;
  const auto dataset = pack_masks(folder);
  const DecodedCacheOptions options{folder.path() / "cache", 1 << 20};
  const Pixels expected = load(dataset, std::make_shared<DecodedCache>(dataset, options), 1);
  const fs::path file = file_of(options.directory);
  const std::string whole = read_file(file);
  const auto damage = [&](const std::string& bytes) {
    std::ofstream(file, std::ios::binary) << bytes;
    EXPECT_EQ(DecodedCache(dataset, options).num_kept(), 0);
    expect_equal(load(dataset, std::make_shared<DecodedCache>(dataset, options), 1), expected);
  };
  damage("");
  damage(whole.substr(0, 100));
  damage(whole.substr(0, kFirstBlock + 1000));
  damage("another file" + whole.substr(12));
  std::string wrong_end = whole;
  wrong_end[60] = '\x7f';  // of the byte behind the last block
  damage(wrong_end);
}

TEST(DecodedCache, GrowsWithItsBudget) {
  const TemporaryFolder folder;
  const auto dataset = pack_masks(folder);
  const fs::path directory = folder.path() / "cache";
  const Pixels expected = load(dataset, nullptr, 1);
  load(dataset, std::make_shared<DecodedCache>(dataset, DecodedCacheOptions{directory, 60000}), 1);
  const auto small = std::make_shared<DecodedCache>(dataset, DecodedCacheOptions{directory, 60000});
  const int64_t num_before = small->num_kept();
  const auto large =
      std::make_shared<DecodedCache>(dataset, DecodedCacheOptions{directory, 1 << 20});
  expect_equal(load(dataset, large, 2), expected);
  EXPECT_GT(large->num_kept(), num_before);
  // The owner with the small mapping passes over what lies behind it.
  expect_equal(load(dataset, small, 2), expected);
  EXPECT_EQ(small->num_damaged(), 0);
  EXPECT_EQ(large->num_kept(), small->num_kept());
}

// A limit on the size of files stands for a full disk: both make pwrite fail.
TEST(DecodedCache, AFullDiskEndsKeepingNotTraining) {
  const TemporaryFolder folder;
  const auto dataset = pack_masks(folder);
  const Pixels expected = load(dataset, nullptr, 1);
  const auto cache = std::make_shared<DecodedCache>(
      dataset, DecodedCacheOptions{folder.path() / "cache", 1 << 20});
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  getrlimit(RLIMIT_FSIZE, &old_limit);
  rlimit limit = old_limit;
  limit.rlim_cur = kFirstBlock + 70000;
  setrlimit(RLIMIT_FSIZE, &limit);
  testing::internal::CaptureStderr();
  const Pixels found = load(dataset, cache, 2);
  const std::string log = testing::internal::GetCapturedStderr();
  setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_handler);
  expect_equal(found, expected);
  EXPECT_THAT(log, HasSubstr("decoded in every epoch"));
  EXPECT_FALSE(cache->has_room(1));
  EXPECT_GT(cache->num_kept(), 0);
}

TEST(DecodedCache, AFolderThatCannotBeMadeIsAnError) {
  const TemporaryFolder folder;
  const auto dataset = pack_masks(folder);
  folder.write("file", "x");
  EXPECT_THROW(DecodedCache(dataset, {folder.path() / "file/cache", 1 << 20}), IoError);
}

// What is damaged below the part that an epoch needs does not matter to that epoch, with a cache or
// without: the whole cannot be kept then.
TEST(DecodedCache, APartOfADamagedImageIsDecodedAsBefore) {
  const TemporaryFolder folder;
  const auto dataset = pack_masks(folder);
  std::vector<uint8_t> encoded;
  cv::imencode(".jpg", noise(1, 64, 64), encoded);
  std::string bytes(encoded.begin(), encoded.end());
  ImageDecoder decoder;
  decoder.open(bytes);
  const cv::Mat expected = decoder.decode({8, 0, 30, 8}).pixels.clone();
  const std::string damaged = bytes.substr(0, bytes.size() - 300);
  DecodedCache cache(dataset, {{}, 1 << 20});
  CachedImage image(&cache, 0, [&] { return std::string_view(damaged); });
  EXPECT_EQ(largest_difference(image.decode({8, 0, 30, 8}).pixels, expected), 0);
  EXPECT_THROW(image.decode(), DataError);
  EXPECT_EQ(cache.num_kept(), 0);
}

}  // namespace
}  // namespace podium::data_shards
