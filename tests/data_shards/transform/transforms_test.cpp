// Ops of a recipe on images and masks. Numbers by hand, or Pillow 13.0.0
// (loader_data/make_loader_fixtures.py).
#include "data_shards/transform/transforms.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "data_shards/transform/transform_steps.h"
#include "data_shards/transform/transform_table.h"
#include "tests/data_shards/loader_test_util.h"

namespace podium::data_shards {
namespace {

using nlohmann::json;
using testing::HasSubstr;

Rng rng(uint64_t number) { return {1, RandomPurpose::kTest, number}; }

std::string error_of(const std::vector<PartSpec>& ops) {
  try {
    const TransformPipeline pipeline(ops);
  } catch (const RecipeError& error) {
    return error.what();
  }
  return "no error";
}

// A gray ramp as RGB whose pixels are all different, and the same values as a mask.
struct Pair {
  cv::Mat image;
  cv::Mat mask;
};
Pair numbered(int width, int height) {
  Pair pair{cv::Mat(height, width, CV_8UC3), cv::Mat(height, width, CV_8UC1)};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const auto value = static_cast<uint8_t>(y * width + x);
      pair.mask.at<uint8_t>(y, x) = value;
      pair.image.at<cv::Vec3b>(y, x) = {value, value, value};
    }
  }
  return pair;
}

// Runs the ops and returns the first channel times 255 as (H, W) floats; `mask` follows.
std::vector<float> run(const std::vector<PartSpec>& ops, const cv::Mat& image, cv::Mat* mask,
                       uint64_t number = 0) {
  const TransformPipeline pipeline(ops);
  const at::Tensor output = pipeline.run(encode_png(image), "png", mask, rng(number), nullptr);
  const int64_t plane = output.size(1) * output.size(2);
  std::vector<float> values(output.data_ptr<float>(), output.data_ptr<float>() + plane);
  for (float& value : values) value *= 255;
  return values;
}

TEST(Transforms, MaskFollowsEveryExactGeometry) {
  const Pair pair = numbered(16, 12);
  const std::vector<std::vector<PartSpec>> pipelines = {
      {make_op("hflip", {{"p", 1.0}})},
      {make_op("vflip", {{"p", 1.0}})},
      {make_op("rotate90")},
      {make_op("random_crop", {{"size", {7, 5}}})},
      {make_op("random_crop", {{"size", {12, 16}}, {"pad", 4}})},
      {make_op("center_crop", {{"size", {6, 10}}})},
      {make_op("center_crop", {{"size", {20, 30}}})},
      {make_op("rotate90"), make_op("random_crop", {{"size", {9, 8}}, {"pad", 2}}),
       make_op("hflip"), make_op("vflip")},
      {make_op("hflip"), make_op("random_crop", {{"size", {9}}}), make_op("rotate90"),
       make_op("sharpening", {{"p", 0.0}})},
  };
  for (size_t i = 0; i < pipelines.size(); ++i) {
    for (uint64_t number = 0; number < 8; ++number) {
      cv::Mat mask = pair.mask.clone();
      const std::vector<float> values = run(pipelines[i], pair.image, &mask, number);
      ASSERT_EQ(values.size(), mask.total()) << i;
      for (size_t j = 0; j < values.size(); ++j) {
        ASSERT_NEAR(
            values[j],
            mask.at<uint8_t>(static_cast<int>(j) / mask.cols, static_cast<int>(j) % mask.cols),
            1e-3)
            << "pipeline " << i << ", draw " << number << ", pixel " << j;
      }
    }
  }
}

// The image holds 4 x its column (or row), the mask the column: after enlarging they may differ by
// half a source pixel.
TEST(Transforms, MaskFollowsResampling) {
  for (const bool use_rows : {false, true}) {
    cv::Mat image(50, 60, CV_8UC3);
    cv::Mat mask(50, 60, CV_8UC1);
    for (int y = 0; y < 50; ++y) {
      for (int x = 0; x < 60; ++x) {
        const auto at = static_cast<uint8_t>(use_rows ? y : x);
        mask.at<uint8_t>(y, x) = at;
        image.at<cv::Vec3b>(y, x) = cv::Vec3b::all(static_cast<uint8_t>(4 * at));
      }
    }
    const std::vector<PartSpec> ops = {make_op("random_resized_crop", {{"size", {64, 80}}}),
                                       make_op("hflip"), make_op("vflip")};
    for (uint64_t number = 0; number < 10; ++number) {
      cv::Mat output_mask = mask.clone();
      const std::vector<float> values = run(ops, image, &output_mask, number);
      ASSERT_EQ(output_mask.rows, 64);
      ASSERT_EQ(output_mask.cols, 80);
      for (size_t j = 0; j < values.size(); ++j) {
        const int value =
            output_mask.at<uint8_t>(static_cast<int>(j) / 80, static_cast<int>(j) % 80);
        ASSERT_NEAR(values[j] / 4, value, 0.51) << number << " " << j;
      }
    }
  }
}

TEST(Transforms, Rotate90ByHand) {
  cv::Mat mask = (cv::Mat_<uint8_t>(2, 3) << 1, 2, 3, 4, 5, 6);
  Step step{.kind = StepKind::kRotate90, .box = {}, .size = {3, 2}, .quarter_turns = 1};
  const cv::Mat once = apply_to_mask(mask, {step});
  const cv::Mat expected_once = (cv::Mat_<uint8_t>(3, 2) << 3, 6, 2, 5, 1, 4);
  EXPECT_EQ(largest_difference(once, expected_once), 0);
  step.quarter_turns = 3;
  const cv::Mat thrice = apply_to_mask(mask, {step});
  const cv::Mat expected_thrice = (cv::Mat_<uint8_t>(3, 2) << 4, 1, 5, 2, 6, 3);
  EXPECT_EQ(largest_difference(thrice, expected_thrice), 0);
}

// By hand, edges mirrored without the edge pixel: corner (0, 0) is 5 * 10 - 2 * 40 - 2 * 20 = -70,
// cut to 0.
TEST(Transforms, SharpeningByHand) {
  const int values[] = {10, 20, 30, 40, 50, 60, 70, 80, 90};
  const int expected[] = {0, 0, 0, 20, 50, 80, 110, 140, 170};
  cv::Mat image(3, 3, CV_8UC3);
  for (int i = 0; i < 9; ++i) {
    image.at<cv::Vec3b>(i / 3, i % 3) =
        cv::Vec3b(static_cast<uint8_t>(values[i]), 7, static_cast<uint8_t>(values[i]));
  }
  const cv::Mat result = sharpen(image);
  for (int i = 0; i < 9; ++i) {
    EXPECT_EQ(result.at<cv::Vec3b>(i / 3, i % 3)[0], expected[i]) << i;
    EXPECT_EQ(result.at<cv::Vec3b>(i / 3, i % 3)[1], 7) << i;
    EXPECT_EQ(result.at<cv::Vec3b>(i / 3, i % 3)[2], expected[i]) << i;
  }
  cv::Mat spot(40, 40, CV_8UC3, cv::Scalar::all(100));  // wide enough for whole blocks
  spot.at<cv::Vec3b>(20, 20) = cv::Vec3b::all(200);
  const cv::Mat sharp = sharpen(spot);
  EXPECT_EQ(sharp.at<cv::Vec3b>(20, 20)[1], 255);  // 1000 - 400
  EXPECT_EQ(sharp.at<cv::Vec3b>(20, 21)[1], 0);    // 500 - 500
  EXPECT_EQ(sharp.at<cv::Vec3b>(21, 21)[1], 100);
  EXPECT_EQ(sharp.at<cv::Vec3b>(0, 39)[1], 100);
}

TEST(Transforms, NormalizeByHand) {
  const cv::Mat image(4, 4, CV_8UC3, cv::Scalar(255, 51, 0));
  const TransformPipeline pipeline({make_op("center_crop", {{"size", {4}}}), make_op("normalize")});
  const at::Tensor output = pipeline.run(encode_png(image), "png", nullptr, rng(0), nullptr);
  const float* data = output.data_ptr<float>();
  EXPECT_NEAR(data[0], (1.0 - 0.485) / 0.229, 1e-6);
  EXPECT_NEAR(data[16], (0.2 - 0.456) / 0.224, 1e-6);
  EXPECT_NEAR(data[32], (0.0 - 0.406) / 0.225, 1e-6);
}

TEST(Transforms, WithoutNormalizeValuesAreShares) {
  const cv::Mat image(4, 4, CV_8UC3, cv::Scalar(255, 51, 0));
  const at::Tensor output =
      TransformPipeline({}).run(encode_png(image), "png", nullptr, rng(0), nullptr);
  EXPECT_FLOAT_EQ(output.data_ptr<float>()[0], 1.0f);
  EXPECT_FLOAT_EQ(output.data_ptr<float>()[16], 0.2f);
}

// The average of the three values stands for a single channel; gray of (255, 51, 0) is 0.299 * 255
// + 0.587 * 51 = 106.2.
TEST(Transforms, GrayHasOneChannel) {
  const cv::Mat image(4, 4, CV_8UC3, cv::Scalar(255, 51, 0));
  const TransformPipeline pipeline({make_op("grayscale"), make_op("normalize")});
  EXPECT_EQ(pipeline.channels(), 1);
  const at::Tensor output = pipeline.run(encode_png(image), "png", nullptr, rng(0), nullptr);
  EXPECT_EQ(output.size(0), 1);
  EXPECT_NEAR(output.data_ptr<float>()[5], (106 / 255.0 - 0.449) / 0.226, 1e-5);
  const TransformPipeline resized({make_op("grayscale"), make_op("resize", {{"size", {8}}})});
  const at::Tensor large = resized.run(encode_png(image), "png", nullptr, rng(0), nullptr);
  EXPECT_NEAR(large.data_ptr<float>()[5], 106 / 255.0, 1e-4);
}

TEST(Transforms, ResizeOfAJpegEqualsPillow) {
  // Pillow's decoded pixels through the same resampling as an exact PNG.
  const std::vector<PartSpec> ops = {make_op("resize", {{"size", {60, 90}}})};
  const TransformPipeline pipeline(ops);
  const at::Tensor jpeg =
      pipeline.run(read_file(loader_fixture("jpeg420_75x53.jpg")), "jpg", nullptr, rng(0), nullptr);
  const at::Tensor png = pipeline.run(encode_png(read_pixels("jpeg420_75x53.rgb", 75, 53)), "png",
                                      nullptr, rng(0), nullptr);
  EXPECT_TRUE(jpeg.equal(png));
}

// A reduced decode stands in for the first part of the averaging; it may differ, but not by much.
TEST(Transforms, ReducedDecodeIsCloseToTheFullOne) {
  const std::vector<PartSpec> ops = {make_op("resize", {{"size", {13, 18}}})};
  const TransformPipeline pipeline(ops);
  const at::Tensor jpeg =
      pipeline.run(read_file(loader_fixture("jpeg444_75x53.jpg")), "jpg", nullptr, rng(0), nullptr);
  const at::Tensor png = pipeline.run(encode_png(read_pixels("jpeg444_75x53.rgb", 75, 53)), "png",
                                      nullptr, rng(0), nullptr);
  EXPECT_LT((jpeg - png).abs().mean().item<double>(), 4.0 / 255);
  // Green rises by 14 steps from one output pixel to the next: the parts are aligned to a seventh
  // of a pixel.
  EXPECT_LT((jpeg - png)[1].abs().mean().item<double>(), 2.0 / 255);
  EXPECT_FALSE(jpeg.equal(png));
}

TEST(Transforms, CropOfAJpegEqualsCropOfThePixels) {
  const std::vector<PartSpec> ops = {
      make_op("random_resized_crop", {{"size", {48}}, {"scale", {0.1, 0.6}}}), make_op("hflip"),
      make_op("normalize")};
  const TransformPipeline pipeline(ops);
  const std::string png = encode_png(read_pixels("jpeg420_75x53.rgb", 75, 53));
  const std::string jpeg = read_file(loader_fixture("jpeg420_75x53.jpg"));
  for (uint64_t number = 0; number < 16; ++number) {
    const at::Tensor a = pipeline.run(jpeg, "jpg", nullptr, rng(number), nullptr);
    const at::Tensor b = pipeline.run(png, "png", nullptr, rng(number), nullptr);
    EXPECT_TRUE(a.equal(b)) << number;
  }
}

TEST(Transforms, FusedPassEqualsSeparateSteps) {
  // A sharpening that never happens splits nothing; one that does forces bytes between the passes.
  const std::string png = encode_png(read_pixels("resample_source_61x47.rgb", 61, 47));
  const TransformPipeline fused(
      {make_op("resize", {{"size", {32, 40}}}), make_op("hflip", {{"p", 1.0}})});
  const TransformPipeline split({make_op("resize", {{"size", {32, 40}}}),
                                 make_op("hflip", {{"p", 1.0}}),
                                 make_op("center_crop", {{"size", {32, 40}}})});
  const at::Tensor a = fused.run(png, "png", nullptr, rng(0), nullptr);
  const at::Tensor b = split.run(png, "png", nullptr, rng(0), nullptr);
  EXPECT_LE((a - b).abs().max().item<double>(), 0.501 / 255);
}

TEST(Transforms, RandomChoicesDependOnTheKeyAlone) {
  const std::string png = encode_png(numbered(16, 12).image);
  const TransformPipeline pipeline(
      {make_op("random_resized_crop", {{"size", {8}}}), make_op("hflip"), make_op("rotate90")});
  const at::Tensor first = pipeline.run(png, "png", nullptr, rng(3), nullptr);
  EXPECT_TRUE(first.equal(pipeline.run(png, "png", nullptr, rng(3), nullptr)));
  int num_different = 0;
  for (uint64_t number = 4; number < 12; ++number) {
    num_different += !first.equal(pipeline.run(png, "png", nullptr, rng(number), nullptr));
  }
  EXPECT_GE(num_different, 7);
}

// The flip after a crop must not depend on how many tries the crop needed, nor on the image's size.
TEST(Transforms, DrawsDoNotDependOnTheImageSize) {
  const auto crop = make_transform_op(make_op("random_resized_crop", {{"size", {8}}}));
  for (uint64_t number = 0; number < 20; ++number) {
    std::vector<uint64_t> next;
    for (const ImageSize& image : {ImageSize{8, 8}, ImageSize{4, 400}, ImageSize{1000, 900}}) {
      ImageSize size = image;
      Rng stream = rng(number);
      std::vector<Step> steps;
      crop->resolve(&size, &stream, &steps);
      EXPECT_EQ(size, (ImageSize{8, 8}));
      next.push_back(stream.next_u64());
    }
    EXPECT_EQ(next[0], next[1]);
    EXPECT_EQ(next[0], next[2]);
  }
}

// 2,000 draws: the share of the area must fill the range, and the ratio must stay within its limits
// but for rounding.
TEST(Transforms, RandomResizedCropKeepsItsRanges) {
  const auto crop =
      make_transform_op(make_op("random_resized_crop", {{"size", {8}}, {"scale", {0.25, 0.75}}}));
  double least = 1, most = 0;
  std::set<int> left_edges;
  for (uint64_t number = 0; number < 2000; ++number) {
    ImageSize size{200, 300};
    Rng stream = rng(number);
    std::vector<Step> steps;
    crop->resolve(&size, &stream, &steps);
    const PixelRect& box = steps[0].box;
    const double area = box.width * box.height / 60000.0;
    least = std::min(least, area);
    most = std::max(most, area);
    left_edges.insert(box.x);
    EXPECT_GE(box.x, 0);
    EXPECT_GE(box.y, 0);
    EXPECT_LE(box.x + box.width, 300);
    EXPECT_LE(box.y + box.height, 200);
    EXPECT_NEAR(std::log(static_cast<double>(box.width) / box.height), 0, std::log(4.0 / 3) + 0.02);
  }
  EXPECT_NEAR(least, 0.25, 0.01);
  EXPECT_NEAR(most, 0.75, 0.02);
  EXPECT_GT(left_edges.size(), 100u);
}

// An image so long that no part of the wanted ratio is large enough: the largest centred one. By
// hand: 4 x 400 -> 5 wide.
TEST(Transforms, RandomResizedCropFallsBackToTheCentre) {
  const auto crop =
      make_transform_op(make_op("random_resized_crop", {{"size", {8}}, {"scale", {0.9, 1.0}}}));
  ImageSize size{4, 400};
  Rng stream = rng(0);
  std::vector<Step> steps;
  crop->resolve(&size, &stream, &steps);
  EXPECT_EQ(steps[0].box, (PixelRect{197, 0, 5, 4}));
}

TEST(Transforms, OutputSizeIsKnownOnlyWhenFixed) {
  using Size = std::array<int64_t, 2>;
  EXPECT_EQ(TransformPipeline({}).output_size(), (Size{0, 0}));
  EXPECT_EQ(TransformPipeline({make_op("hflip")}).output_size(), (Size{0, 0}));
  EXPECT_EQ(
      TransformPipeline({make_op("resize", {{"size", {3, 5}}}), make_op("hflip")}).output_size(),
      (Size{3, 5}));
  EXPECT_EQ(
      TransformPipeline({make_op("resize", {{"size", {3, 5}}}), make_op("rotate90")}).output_size(),
      (Size{0, 0}));
  EXPECT_EQ(
      TransformPipeline({make_op("resize", {{"size", {5}}}), make_op("rotate90")}).output_size(),
      (Size{5, 5}));
}

TEST(Transforms, WrongRecipesNameTheOp) {
  EXPECT_THAT(error_of({make_op("normalize"), make_op("hflip")}),
              HasSubstr("normalize: it is op 1 of 2"));
  EXPECT_THAT(error_of({make_op("normalize"), make_op("normalize")}),
              HasSubstr("must be the last, once"));
  EXPECT_THAT(error_of({{"hflipp", json::object()}}),
              HasSubstr("unknown transform \"hflipp\" (did you mean \"hflip\"?)"));
  EXPECT_THAT(error_of({make_op("grayscale", {{"p", 0.5}})}), HasSubstr("channels: 1 needs p: 1"));
  EXPECT_THAT(error_of({make_op("resize", {{"size", {1, 2, 3}}})}),
              HasSubstr("transform resize: size has 3 numbers"));
  EXPECT_THAT(error_of({make_op("random_resized_crop", {{"size", {8}}, {"scale", {0.9, 0.1}}})}),
              HasSubstr("random_resized_crop: scale"));
  EXPECT_THAT(error_of({make_op("normalize", {{"mean", {0.1, 0.2}}})}),
              HasSubstr("mean has 2 numbers"));
}

TEST(Transforms, BadImagesAndMasksAreDataErrors) {
  const TransformPipeline pipeline({make_op("resize", {{"size", {8}}})});
  try {
    pipeline.run("garbage", "jpg", nullptr, rng(0), nullptr);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("jpg: cannot decode the image"));
  }
  cv::Mat mask(5, 4, CV_8UC1, cv::Scalar(0));
  try {
    pipeline.run(encode_png(numbered(6, 5).image), "png", &mask, rng(0), nullptr);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("the mask has 4 x 5 px, the image 6 x 5"));
  }
}

TEST(Transforms, EveryRowMakesAnOpAndIsDescribed) {
  for (const TransformRow& row : transform_table().rows()) {
    json given = json::object();
    if (row.parameters.find("size")) given["size"] = {8};
    if (row.parameters.find("sizes")) given["sizes"] = {8, 16};
    EXPECT_NO_THROW(make_transform_op(make_op(row.name, given))) << row.name;
    EXPECT_FALSE(row.help.empty()) << row.name;
    for (const Field& field : row.parameters.fields()) {
      EXPECT_FALSE(field.help.empty()) << row.name << " " << field.key;
    }
  }
}

}  // namespace
}  // namespace podium::data_shards
