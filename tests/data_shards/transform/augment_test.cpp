// Augmentations on fixed draws against torchvision 0.26.0, timm 1.0.24 (both on Pillow 13.0.0
// images) and albumentations 2.0.8 (augment_data/make_augment_fixtures.py). Tolerances are in steps
// of 1/255.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <opencv2/core.hpp>
#include <set>

#include "base/error.h"
#include "base/safetensors_file.h"
#include "base/text.h"
#include "data_shards/format/task.h"
#include "data_shards/transform/augment_erase.h"
#include "data_shards/transform/augment_policy.h"
#include "data_shards/transform/augment_quality.h"
#include "data_shards/transform/transform_steps.h"
#include "data_shards/transform/transform_table.h"
#include "tests/data_shards/loader_test_util.h"

namespace podium::data_shards {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(PODIUM_SOURCE_DIR) / "tests/data_shards/augment_data" / name;
}

const SafetensorsFile& cases() {
  static const SafetensorsFile file(fixture("augment.safetensors"));
  return file;
}

// A copy that may be changed.
cv::Mat pixels_of(const std::string& name) {
  const ArrayView& array = cases().at(name, DType::kU8, 3);
  cv::Mat pixels(static_cast<int>(array.shape[0]), static_cast<int>(array.shape[1]), CV_8UC3);
  std::copy(array.data.begin(), array.data.end(), pixels.data);
  return pixels;
}

std::vector<double> numbers(const std::string& text) {
  std::vector<double> values;
  for (const std::string& part : split(text, ',')) values.push_back(std::stod(part));
  return values;
}

Sampling sampling_named(const std::string& name) {
  return name == "nearest"    ? Sampling::kNearest
         : name == "bilinear" ? Sampling::kBilinear
                              : Sampling::kBicubic;
}

struct Case {
  std::string name;
  std::vector<std::string> parts;  // of the name, between slashes
};
std::vector<Case> cases_of(const std::string& family) {
  std::vector<Case> list;
  for (const auto& [name, array] : cases().arrays()) {
    const std::vector<std::string> parts = split(name, '/');
    if (parts[0] == family) list.push_back({name, parts});
  }
  return list;
}

Rng rng(uint64_t number) { return {1, RandomPurpose::kTest, number}; }

// Whole-pixel sampling and point operations agree to the last bit; blended samples are cut to whole
// steps there, from weights of more digits.
TEST(Augment, PolicyOperationsEqualTorchvisionAndTimm) {
  const std::vector<Case> list = cases_of("policy");
  ASSERT_GT(list.size(), 45u);
  std::set<PolicyOp> seen;
  for (const Case& one : list) {
    const PolicyOp op = parse_policy_op(one.parts[1]);
    const std::vector<double> fill = numbers(one.parts[4]);
    const PolicyStyle style{sampling_named(one.parts[3]),
                            {static_cast<uint8_t>(fill[0]), static_cast<uint8_t>(fill[1]),
                             static_cast<uint8_t>(fill[2])}};
    const auto step = policy_step(op, std::stod(one.parts[2]), {27, 33}, style);
    ASSERT_TRUE(step) << one.name;
    const cv::Mat result = apply_to_bytes(pixels_of("image"), *step);
    EXPECT_LE(largest_difference(result, pixels_of(one.name)), one.parts[3] == "nearest" ? 0 : 1)
        << one.name;
    EXPECT_EQ(step->size, (ImageSize{27, 33}));
    seen.insert(op);
  }
  EXPECT_EQ(seen.size(), 15u);  // all but Identity
}

TEST(Augment, FlatImagesStayAsTheyAre) {
  cv::Mat flat = pixels_of("flat");
  equalize(&flat);
  EXPECT_EQ(largest_difference(flat, pixels_of("flat_equalize")), 0);
  autocontrast(&flat);
  EXPECT_EQ(largest_difference(flat, pixels_of("flat_autocontrast")), 0);
}

TEST(Augment, AffineEqualsTorchvision) {
  const std::vector<Case> list = cases_of("affine");
  ASSERT_EQ(list.size(), 6u);
  for (const Case& one : list) {
    const std::vector<double> v = numbers(one.parts[1]);
    const AffineMap map = affine_map({27, 33}, {.angle_deg = v[0],
                                                .right = v[1],
                                                .down = v[2],
                                                .scale = v[3],
                                                .shear_x_deg = v[4],
                                                .shear_y_deg = v[5]});
    const Sampling sampling = sampling_named(one.parts[2]);
    const cv::Mat result = warp(pixels_of("image"), {map, sampling, {0, 0, 0}});
    EXPECT_LE(largest_difference(result, pixels_of(one.name)),
              sampling == Sampling::kNearest ? 0 : 1)
        << one.name;
  }
}

TEST(Augment, HueEqualsTorchvision) {
  ASSERT_EQ(cases_of("hue").size(), 3u);
  for (const Case& one : cases_of("hue")) {
    cv::Mat image = pixels_of("image");
    adjust_hue(std::stod(one.parts[1]), &image);
    EXPECT_EQ(largest_difference(image, pixels_of(one.name)), 0) << one.name;
  }
}

// OpenCV blurs bytes in fixed point.
TEST(Augment, BlurEqualsTorchvision) {
  ASSERT_EQ(cases_of("blur").size(), 3u);
  for (const Case& one : cases_of("blur")) {
    const std::vector<double> v = numbers(one.parts[1]);
    cv::Mat image = pixels_of("image");
    blur(static_cast<int>(v[0]), v[1], &image);
    EXPECT_LE(largest_difference(image, pixels_of(one.name)), 1) << one.name;
  }
}

// Pillow brings a libjpeg of its own; versions differ in the last bit of the transforms.
TEST(Augment, JpegEqualsPillow) {
  ASSERT_EQ(cases_of("jpeg").size(), 2u);
  for (const Case& one : cases_of("jpeg")) {
    cv::Mat image = pixels_of("image");
    compress_as_jpeg(std::stoi(one.parts[1]), &image);
    EXPECT_LE(largest_difference(image, pixels_of(one.name)), 2) << one.name;
    EXPECT_GT(largest_difference(image, pixels_of("image")), 10) << one.name;
  }
}

// The conversion to Lab and back differs between OpenCV 4 and 5 by rounding.
TEST(Augment, ClaheEqualsAlbumentations) {
  ASSERT_EQ(cases_of("clahe").size(), 2u);
  for (const Case& one : cases_of("clahe")) {
    const std::vector<double> v = numbers(one.parts[1]);
    cv::Mat image = pixels_of("image");
    equalize_locally(v[0], static_cast<int>(v[1]), &image);
    EXPECT_LE(largest_difference(image, pixels_of(one.name)), 3) << one.name;
  }
}

TEST(Augment, CutoutEqualsThePublicCode) {
  ASSERT_EQ(cases_of("cutout").size(), 3u);
  for (const Case& one : cases_of("cutout")) {
    const std::vector<double> v = numbers(one.parts[1]);
    const PixelRect box =
        cutout_box({27, 33}, v[0], static_cast<int>(v[1]), static_cast<int>(v[2]));
    cv::Mat image = pixels_of("image");
    image(cv::Rect(box.x, box.y, box.width, box.height)).setTo(cv::Scalar(10, 20, 30));
    EXPECT_EQ(largest_difference(image, pixels_of(one.name)), 0) << one.name;
  }
}

json spaces() { return json::parse(read_file(fixture("spaces.json"))); }

// What torchvision hands to an operation, in our terms.
double as_value(PolicyOp op, double magnitude) {
  switch (op) {
    case PolicyOp::kBrightness:
    case PolicyOp::kColor:
    case PolicyOp::kContrast:
    case PolicyOp::kSharpness:
      return 1 + magnitude;
    case PolicyOp::kTranslateX:
    case PolicyOp::kTranslateY:
      return std::trunc(magnitude + 1e-4);  // 16 is 15.999999 there on some processors
    default:
      return magnitude;
  }
}

TEST(Augment, MagnitudesAreTorchvisions) {
  const json expected = spaces();
  const ImageSize size{expected["size"][0], expected["size"][1]};
  const std::vector<std::pair<std::string, PolicySpace>> list = {
      {"rand", PolicySpace::kRandAugment},
      {"trivial", PolicySpace::kTrivialAugment},
      {"auto", PolicySpace::kAutoAugment}};
  for (const auto& [name, space] : list) {
    EXPECT_EQ(policy_ops(space).size(), expected[name].size());
    const int num_bins = name == "auto" ? 10 : 31;
    for (const PolicyOp op : policy_ops(space)) {
      const json& values = expected[name].at(policy_op_name(op));
      if (!values.is_array()) {
        EXPECT_EQ(policy_value(space, op, 3, num_bins, false, size), 0);
        continue;
      }
      ASSERT_EQ(values.size(), static_cast<size_t>(num_bins));
      for (int bin = 0; bin < num_bins; ++bin) {
        const double magnitude = values[static_cast<size_t>(bin)];
        EXPECT_NEAR(policy_value(space, op, bin, num_bins, false, size), as_value(op, magnitude),
                    2e-5)
            << name << " " << policy_op_name(op) << " " << bin;
      }
    }
  }
  EXPECT_EQ(policy_value(PolicySpace::kRandAugment, PolicyOp::kRotate, 9, 31, true, size), -9);
  EXPECT_NEAR(policy_value(PolicySpace::kRandAugment, PolicyOp::kColor, 9, 31, true, size), 0.73,
              1e-12);
}

TEST(Augment, ImageNetPolicyIsTorchvisions) {
  const json expected = spaces()["imagenet"];
  const auto& policies = imagenet_policies();
  ASSERT_EQ(policies.size(), expected.size());
  for (size_t i = 0; i < policies.size(); ++i) {
    for (size_t j = 0; j < 2; ++j) {
      EXPECT_EQ(policy_op_name(policies[i][j].op), expected[i][j][0]) << i;
      EXPECT_EQ(policies[i][j].probability, expected[i][j][1]) << i;
      EXPECT_EQ(policies[i][j].bin, expected[i][j][2].is_null() ? 0 : expected[i][j][2].get<int>())
          << i;
    }
  }
}

TEST(Augment, TimmLevelsAreTimms) {
  const json expected = spaces();
  const std::vector<double> levels = {0, 3, 5, 9, 10};
  for (const bool is_increasing : {false, true}) {
    const json& names = expected[is_increasing ? "timm_increasing" : "timm_rand"];
    ASSERT_EQ(names.size(), timm_policy_ops().size());
    for (size_t i = 0; i < names.size(); ++i) {
      const PolicyOp op = timm_policy_ops()[i];
      const std::string name = names[i];
      EXPECT_THAT(name, testing::StartsWith(policy_op_name(op)));
      for (const int sign : {1, -1}) {
        const auto values = expected["timm_levels"].find(name + (sign > 0 ? "/1" : "/-1"));
        if (values == expected["timm_levels"].end()) continue;
        for (size_t at = 0; at < levels.size(); ++at) {
          double value = timm_policy_value(op, levels[at], is_increasing, sign < 0, {100, 100});
          // There a share of the size, to the left.
          if (op == PolicyOp::kTranslateX || op == PolicyOp::kTranslateY) value /= -100;
          EXPECT_NEAR(value, (*values)[at].get<double>(), 1e-9) << name << " " << levels[at];
        }
      }
    }
  }
}

// Every op of the table with random choices: the size that it announces, the same draws for any
// image, and no change of the mask's classes.
TEST(Augment, DrawsDoNotDependOnTheImageAndMasksKeepTheirClasses) {
  for (const TransformRow& row : transform_table().rows()) {
    json given = json::object();
    if (row.parameters.find("size")) given["size"] = {20};
    if (row.parameters.find("sizes")) given["sizes"] = {20, 24};
    if (row.name == "affine") given["rotate_deg"] = {-40.0, 40.0};
    if (row.name == "normalize") continue;
    const auto op = make_transform_op(make_op(row.name, given));
    for (uint64_t number = 0; number < 40; ++number) {
      std::vector<uint64_t> next;
      for (const ImageSize& image : {ImageSize{27, 33}, ImageSize{90, 40}}) {
        ImageSize size = image;
        Rng stream = rng(number);
        std::vector<Step> steps;
        op->resolve(&size, &stream, &steps);
        next.push_back(stream.next_u64());
        cv::Mat mask(image.height, image.width, CV_8UC1, cv::Scalar(3));
        const cv::Mat moved = apply_to_mask(mask, steps);
        EXPECT_EQ((ImageSize{moved.rows, moved.cols}), size) << row.name;
        for (int i = 0; i < static_cast<int>(moved.total()); ++i) {
          ASSERT_TRUE(moved.data[i] == 3 || moved.data[i] == kIgnoreIndex) << row.name;
        }
      }
      EXPECT_EQ(next[0], next[1]) << row.name;
    }
  }
}

// Where a warped image shows a pixel of the source, the mask shows the class of the same pixel.
TEST(Augment, MaskFollowsWarps) {
  cv::Mat image(27, 33, CV_8UC3), mask(27, 33, CV_8UC1);
  for (int y = 0; y < 27; ++y) {
    for (int x = 0; x < 33; ++x) {
      const auto value = static_cast<uint8_t>(1 + (y * 33 + x) % 250);
      image.at<cv::Vec3b>(y, x) = cv::Vec3b::all(value);
      mask.at<uint8_t>(y, x) = value;
    }
  }
  const std::string png = encode_png(image);
  int num_outside = 0;
  for (uint64_t number = 0; number < 12; ++number) {
    const TransformPipeline pipeline(
        {make_op("hflip"),
         make_op("affine", {{"rotate_deg", {-60.0, 60.0}},
                            {"translate", {-0.2, 0.2}},
                            {"scale", {0.7, 1.4}},
                            {"shear_x_deg", {-20.0, 20.0}},
                            {"sampling", "nearest"}}),
         make_op("rotate90"), make_op("random_crop", {{"size", {25}}}),
         make_op("affine", {{"shear_y_deg", {10.0, 10.0}}, {"sampling", "nearest"}})});
    cv::Mat moved = mask.clone();
    const at::Tensor output = pipeline.run(png, "png", &moved, rng(number), nullptr);
    ASSERT_EQ(moved.total(), static_cast<size_t>(25 * 25));
    for (int i = 0; i < 25 * 25; ++i) {
      const int value = static_cast<int>(std::lround(output.const_data_ptr<float>()[i] * 255));
      const int expected = moved.data[i] == kIgnoreIndex ? 0 : moved.data[i];
      ASSERT_EQ(value, expected) << number << " " << i;
      num_outside += moved.data[i] == kIgnoreIndex;
    }
  }
  EXPECT_GT(num_outside, 100);
}

// Tables at the end go into the last pass, through flips and up to gray; the result is that of
// bytes.
TEST(Augment, TrailingTablesEqualSeparateSteps) {
  const std::string png = encode_png(pixels_of("image"));
  const PartSpec bright = make_op("color_jitter", {{"brightness", 0.8}});
  const PartSpec crop = make_op("center_crop", {{"size", {20, 24}}});
  const std::vector<std::vector<PartSpec>> starts = {
      {crop, bright, make_op("hflip", {{"p", 1.0}}), bright},
      {crop, make_op("grayscale", {{"channels", 3}}), bright},
      {crop, bright, make_op("grayscale", {{"channels", 3}}), make_op("vflip")},
      {make_op("resize", {{"size", {20, 24}}}), bright, bright}};
  for (const std::vector<PartSpec>& ops : starts) {
    std::vector<PartSpec> split = ops;
    split.push_back(crop);  // nothing is left to cut, but bytes are made before it
    for (uint64_t number = 0; number < 4; ++number) {
      const at::Tensor a = TransformPipeline(ops).run(png, "png", nullptr, rng(number), nullptr);
      const at::Tensor b = TransformPipeline(split).run(png, "png", nullptr, rng(number), nullptr);
      EXPECT_TRUE(a.equal(b)) << ops.size() << " " << number;
    }
  }
}

TEST(Augment, RandomErasingPaintsNormalisedValues) {
  const std::string png = encode_png(pixels_of("image"));
  for (const std::string fill : {"mean", "color", "noise"}) {
    const TransformPipeline pipeline(
        {make_op("random_erasing", {{"p", 1.0}, {"area", {0.2, 0.2}}, {"fill", fill}}),
         make_op("normalize")});
    const at::Tensor plain =
        TransformPipeline({make_op("normalize")}).run(png, "png", nullptr, rng(0), nullptr);
    for (uint64_t number = 0; number < 5; ++number) {
      const at::Tensor erased = pipeline.run(png, "png", nullptr, rng(number), nullptr);
      EXPECT_TRUE(erased.equal(pipeline.run(png, "png", nullptr, rng(number), nullptr)));
      int num_changed = 0;
      double sum = 0, sum_squares = 0;
      std::set<float> values;
      for (int64_t i = 0; i < erased.numel(); ++i) {
        const float value = erased.const_data_ptr<float>()[i];
        if (value == plain.const_data_ptr<float>()[i]) continue;
        ++num_changed;
        sum += value;
        sum_squares += value * value;
        values.insert(value);
      }
      // 20 % of 27 x 33 px, rounded to whole rows and columns, in three channels.
      EXPECT_NEAR(num_changed / 3.0, 0.2 * 27 * 33, 15) << fill;
      if (fill == "mean") {
        EXPECT_EQ(values, std::set<float>{0.0f});
      }
      if (fill == "color") {
        EXPECT_EQ(values.size(), 3u);
      }
      if (fill == "noise") {
        EXPECT_NEAR(sum / num_changed, 0, 0.15);
        EXPECT_NEAR(sum_squares / num_changed, 1, 0.25);
      }
    }
  }
}

// Over many draws every operation and both signs occur, about as often as they should.
TEST(Augment, PoliciesDrawAllTheirOperations) {
  const std::vector<std::pair<std::string, double>> expected = {
      {"rand_augment", 2.0 * 13 / 14},   // Identity makes no step
      {"timm_rand_augment", 2.0 * 0.5},  // each with probability 0.5
      {"trivial_augment", 1.0 * 13 / 14},
      {"auto_augment", 31.0 / 25}};  // the sum of the table's probabilities
  for (const auto& [name, steps_per_image] : expected) {
    const auto op = make_transform_op(make_op(name));
    int num_steps = 0, num_left = 0, num_right = 0;
    std::set<StepKind> kinds;
    for (uint64_t number = 0; number < 4000; ++number) {
      ImageSize size{64, 64};
      Rng stream = rng(number);
      std::vector<Step> steps;
      op->resolve(&size, &stream, &steps);
      num_steps += static_cast<int>(steps.size());
      for (const Step& step : steps) {
        kinds.insert(step.kind);
        if (step.kind == StepKind::kWarp) ++(step.warp.map.m[1] > 0 ? num_right : num_left);
      }
    }
    EXPECT_NEAR(num_steps / 4000.0, steps_per_image, 0.06) << name;
    EXPECT_EQ(kinds, (std::set{StepKind::kWarp, StepKind::kTable, StepKind::kPixels})) << name;
    EXPECT_GT(num_left, 100) << name;
    EXPECT_GT(num_right, 100) << name;
  }
}

TEST(Augment, MultiScaleDrawsOneSizePerStepOrEpoch) {
  const auto make = [](const std::string& per) {
    return std::make_shared<const TransformPipeline>(std::vector<PartSpec>{
        make_op("multi_scale", {{"sizes", {16, 20, 24}}, {"per", per}}), make_op("normalize")});
  };
  for (const std::string per : {"step", "epoch"}) {
    const auto pipeline = make(per);
    EXPECT_TRUE(pipeline->has_batch_choices());
    EXPECT_EQ(pipeline->output_size(), (std::array<int64_t, 2>{24, 24}));
    std::set<int64_t> of_steps, of_epochs;
    for (int64_t i = 0; i < 30; ++i) {
      of_steps.insert(for_batch(pipeline, {7, 0, i})->output_size()[0]);
      of_epochs.insert(for_batch(pipeline, {7, i, 0})->output_size()[0]);
      EXPECT_EQ(for_batch(pipeline, {7, 2, i})->output_size(),
                for_batch(pipeline, {7, 2, i})->output_size());
    }
    EXPECT_EQ(of_steps.size(), per == "step" ? 3u : 1u);
    EXPECT_EQ(of_epochs, (std::set<int64_t>{16, 20, 24}));
  }
  const auto plain = std::make_shared<const TransformPipeline>(std::vector<PartSpec>{});
  EXPECT_EQ(for_batch(plain, {}), plain);
}

// albumentations 2.0.8 cuts height * scale to a whole number.
TEST(Augment, RandomScaleStaysInItsRange) {
  const auto op = make_transform_op(make_op("random_scale", {{"limit", 0.2}, {"p", 0.5}}));
  int num_scaled = 0;
  for (uint64_t number = 0; number < 400; ++number) {
    ImageSize size{1000, 500};
    Rng stream = rng(number);
    std::vector<Step> steps;
    op->resolve(&size, &stream, &steps);
    num_scaled += !steps.empty();
    EXPECT_GE(size.height, 800);
    EXPECT_LE(size.height, 1200);
    EXPECT_NEAR(size.width, size.height / 2.0, 1);
  }
  EXPECT_NEAR(num_scaled, 200, 40);
  EXPECT_EQ(TransformPipeline({make_op("random_scale")}).output_size()[0], 0);
}

TEST(Augment, NormalisedImagesComeBackAsBytes) {
  const std::string png = encode_png(pixels_of("image"));
  const TransformPipeline pipeline({make_op("normalize")});
  const at::Tensor output = pipeline.run(png, "png", nullptr, rng(0), nullptr);
  EXPECT_EQ(largest_difference(pipeline.to_bytes(output), pixels_of("image")), 0);
}

TEST(Augment, WrongParametersNameTheOp) {
  const auto error_of = [](const std::vector<PartSpec>& ops) -> std::string {
    try {
      const TransformPipeline pipeline(ops);
    } catch (const RecipeError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of({make_op("random_erasing"), make_op("hflip")}),
              HasSubstr("transform hflip: it comes after random_erasing"));
  EXPECT_THAT(error_of({make_op("gaussian_blur", {{"kernel", 4}})}),
              HasSubstr("gaussian_blur: kernel is 4; give an odd number"));
  EXPECT_THAT(error_of({make_op("affine", {{"rotate_deg", {5.0, -5.0}}})}),
              HasSubstr("affine: rotate_deg is [5, -5]"));
  EXPECT_THAT(error_of({make_op("rand_augment", {{"fill", {1, 2}}})}),
              HasSubstr("rand_augment: fill has 2 numbers"));
  EXPECT_THAT(error_of({make_op("multi_scale", {{"sizes", json::array()}})}),
              HasSubstr("multi_scale: sizes is empty"));
}

}  // namespace
}  // namespace podium::data_shards
