// The loader on pairs, masks and images of different sizes.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <opencv2/imgcodecs.hpp>

#include "base/error.h"
#include "data_shards/load/loader.h"
#include "data_shards/pack/pack.h"
#include "tests/data_shards/loader_test_util.h"

namespace podium::data_shards {
namespace {

using testing::HasSubstr;

std::shared_ptr<const TransformPipeline> pipeline(const std::vector<PartSpec>& ops) {
  return std::make_shared<TransformPipeline>(ops);
}

// Batches with the positions [0, n) of the data set, once in each of `num_epochs`.
std::vector<Batch> load(const std::shared_ptr<const Dataset>& dataset,
                        const std::shared_ptr<const TransformPipeline>& transforms,
                        const LoaderOptions& options, int64_t batch_size, int64_t num_epochs = 1) {
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < dataset->size(); ++i) indices.push_back(i);
  std::vector<MicroBatchPlan> plans;
  for (int64_t epoch = 0; epoch < num_epochs; ++epoch) {
    for (MicroBatchPlan& plan : plan_evaluation(indices, batch_size, 0, 1)) {
      plan.epoch = epoch;
      plans.push_back(std::move(plan));
    }
  }
  size_t next = 0;
  const auto next_plan = [&]() -> std::optional<MicroBatchPlan> {
    if (next == plans.size()) return std::nullopt;
    return plans[next++];
  };
  Loader loader(dataset, transforms, next_plan, true, options);
  std::vector<Batch> batches;
  while (std::optional<Batch> batch = loader.next()) batches.push_back(std::move(*batch));
  return batches;
}

// Pairs of a dark 8 px and a bright 16 px image.
std::shared_ptr<const Dataset> pack_pairs(const TemporaryFolder& folder) {
  std::string csv = "img_path,upscale_img_path,label\n";
  for (int i = 0; i < 6; ++i) {
    folder.write(fmt::format("low/{}.png", i),
                 encode_png(cv::Mat(8, 8, CV_8UC3, cv::Scalar::all(10 + i))));
    folder.write(fmt::format("high/{}.png", i),
                 encode_png(cv::Mat(16, 16, CV_8UC3, cv::Scalar::all(200 + i))));
    csv += fmt::format("low/{}.png,high/{}.png,{}\n", i, i, i % 2 ? "wren" : "robin");
  }
  PackOptions options;
  options.layout = "paired_csv";
  options.input = folder.write("pairs.csv", csv);
  options.output = folder.path() / "packed";
  options.num_threads = 1;
  pack(options);
  return Dataset::open(options.output);
}

// Two JPEGs and two PNGs of one gray value each: 10, 20, 30, 40.
std::shared_ptr<const Dataset> pack_mixed(const TemporaryFolder& folder) {
  for (int i = 0; i < 4; ++i) {
    const cv::Mat image(8, 8, CV_8UC3, cv::Scalar::all(10 * (i + 1)));
    std::vector<uint8_t> jpeg;
    cv::imencode(".jpg", image, jpeg);
    const bool is_jpeg = i % 2 == 0;
    folder.write(fmt::format("images/a/{}.{}", i, is_jpeg ? "jpg" : "png"),
                 is_jpeg ? std::string(jpeg.begin(), jpeg.end()) : encode_png(image));
  }
  PackOptions options;
  options.layout = "class_folders";
  options.input = folder.path() / "images";
  options.output = folder.path() / "packed";
  options.num_threads = 1;
  pack(options);
  return Dataset::open(options.output);
}

double first_value(const at::Tensor& images, int64_t slot) {
  return images[slot][0][0][0].item<double>() * 255;
}

TEST(LoaderFormats, ASampleHasOneOfTheFormatsOfItsSet) {
  const TemporaryFolder folder;
  const auto dataset = pack_mixed(folder);
  ASSERT_THAT(dataset->image_members(), testing::ElementsAre("jpg", "png"));
  const auto transforms = pipeline({make_op("resize", {{"size", {8}}})});
  LoaderOptions options;
  for (const ImagePolicy policy : {ImagePolicy::kFirst, ImagePolicy::kRandom}) {
    options.image_policy = policy;
    const std::vector<Batch> batches = load(dataset, transforms, options, 4);
    ASSERT_TRUE(batches.at(0).images.defined());
    for (int64_t slot = 0; slot < 4; ++slot) {
      EXPECT_NEAR(first_value(batches[0].images, slot), 10 * (slot + 1), 1e-3);
    }
  }
}

TEST(LoaderPairs, TheFirstOfTheMembersIsTheImage) {
  const TemporaryFolder folder;
  const auto dataset = pack_pairs(folder);
  const auto transforms = pipeline({make_op("resize", {{"size", {8}}})});
  LoaderOptions options;
  options.image_members = {"lr.png", "hr.png"};
  const std::vector<Batch> low = load(dataset, transforms, options, 6);
  options.image_members = {"hr.png", "lr.png"};
  const std::vector<Batch> high = load(dataset, transforms, options, 6);
  for (int64_t slot = 0; slot < 6; ++slot) {
    const int number = std::stoi(low[0].keys[static_cast<size_t>(slot)]);
    EXPECT_NEAR(first_value(low[0].images, slot), 10 + number, 1e-3);
    EXPECT_NEAR(first_value(high[0].images, slot), 200 + number, 1e-3);
    EXPECT_EQ(low[0].class_indices[slot].item<int64_t>(), number % 2);  // robin, wren
  }
}

TEST(LoaderPairs, RandomPolicyDrawsByEpochAndSample) {
  const TemporaryFolder folder;
  const auto dataset = pack_pairs(folder);
  const auto transforms = pipeline({make_op("resize", {{"size", {8}}})});
  LoaderOptions options;
  options.seed = 3;
  options.image_policy = ImagePolicy::kRandom;
  options.num_threads = 1;
  const std::vector<Batch> batches = load(dataset, transforms, options, 6, 10);
  int num_bright = 0;
  for (const Batch& batch : batches) {
    for (int64_t slot = 0; slot < 6; ++slot) num_bright += first_value(batch.images, slot) > 100;
  }
  EXPECT_GT(num_bright, 15);  // of 60
  EXPECT_LT(num_bright, 45);
  options.num_threads = 3;
  const std::vector<Batch> again = load(dataset, transforms, options, 6, 10);
  for (size_t i = 0; i < batches.size(); ++i) EXPECT_TRUE(batches[i].images.equal(again[i].images));
}

// Image and mask hold the same class numbers, so the image says where each mask pixel came from.
std::shared_ptr<const Dataset> pack_masks(const TemporaryFolder& folder,
                                          const std::vector<int>& widths) {
  for (size_t i = 0; i < widths.size(); ++i) {
    cv::Mat image(12, widths[i], CV_8UC3);
    cv::Mat mask(12, widths[i], CV_8UC1);
    for (int y = 0; y < 12; ++y) {
      for (int x = 0; x < widths[i]; ++x) {
        mask.at<uint8_t>(y, x) = static_cast<uint8_t>(
            (x / 3 + y / 2 + static_cast<int>(i)) % 4 == 3 ? 255 : (x + y) % 3);
        image.at<cv::Vec3b>(y, x) = cv::Vec3b::all(mask.at<uint8_t>(y, x));
      }
    }
    folder.write(fmt::format("in/images/{}.png", i), encode_png(image));
    folder.write(fmt::format("in/masks/{}.png", i), encode_png(mask));
  }
  PackOptions options;
  options.layout = "image_mask";
  options.input = folder.path() / "in";
  options.output = folder.path() / "packed";
  options.classes = {"ground", "road", "house"};
  options.num_threads = 1;
  pack(options);
  return Dataset::open(options.output);
}

void expect_masks_equal_images(const Batch& batch) {
  ASSERT_EQ(batch.masks.scalar_type(), at::kLong);
  EXPECT_TRUE((batch.images.select(1, 0) * 255).round().to(at::kLong).equal(batch.masks));
}

// Pixels and masks that were packed decoded (.npy) give the batches that the files give.
TEST(LoaderMasks, DecodedSetsGiveTheSameBatches) {
  const TemporaryFolder folder;
  const auto files = pack_masks(folder, {16, 16, 16});
  PackOptions options;
  options.layout = "image_mask";
  options.input = folder.path() / "in";
  options.output = folder.path() / "decoded";
  options.classes = {"ground", "road", "house"};
  options.rewrite.decode = true;
  pack(options);
  const auto arrays = Dataset::open(options.output);
  ASSERT_EQ(arrays->image_members().front(), "npy");
  const auto transforms = pipeline({make_op("random_crop", {{"size", {8}}}), make_op("hflip")});
  for (const ReaderKind reader : {ReaderKind::kMmap, ReaderKind::kPread}) {
    LoaderOptions loader_options;
    loader_options.reader = reader;
    const std::vector<Batch> a = load(files, transforms, loader_options, 3, 2);
    const std::vector<Batch> b = load(arrays, transforms, loader_options, 3, 2);
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_TRUE(a[i].images.equal(b[i].images));
      EXPECT_TRUE(a[i].masks.equal(b[i].masks));
    }
  }
}

TEST(LoaderMasks, FollowTheImage) {
  const TemporaryFolder folder;
  const auto dataset = pack_masks(folder, {16, 16, 16, 16});
  const auto transforms = pipeline(
      {make_op("random_crop", {{"size", {9, 7}}, {"pad", 2}}), make_op("hflip"), make_op("vflip")});
  const std::vector<Batch> batches = load(dataset, transforms, {}, 4, 3);
  ASSERT_EQ(batches.size(), 3u);
  for (const Batch& batch : batches) {
    EXPECT_EQ(batch.masks.sizes(), (std::vector<int64_t>{4, 9, 7}));
    expect_masks_equal_images(batch);
    EXPECT_EQ(batch.masks.max().item<int64_t>(), kIgnoreIndex);
  }
}

TEST(LoaderMasks, SizesMayDifferBetweenBatchesOnly) {
  const TemporaryFolder folder;
  const auto dataset = pack_masks(folder, {16, 20, 20});
  const auto transforms = pipeline({make_op("vflip")});
  const std::vector<Batch> single = load(dataset, transforms, {}, 1);
  ASSERT_EQ(single.size(), 3u);
  EXPECT_EQ(single[0].images.sizes(), (std::vector<int64_t>{1, 3, 12, 16}));
  EXPECT_EQ(single[1].masks.sizes(), (std::vector<int64_t>{1, 12, 20}));
  for (const Batch& batch : single) expect_masks_equal_images(batch);
  try {
    load(dataset, transforms, {}, 3);
    FAIL();
  } catch (const RecipeError& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("sizes differ within a batch (\"0\" has 16 x 12 px, \"1\" 20 x 12)"));
  }
}

}  // namespace
}  // namespace podium::data_shards
