// The resampler against Pillow 13.0.0's antialiased filters (fixtures:
// loader_data/make_loader_fixtures.py).
#include "data_shards/pixels/resample.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/data_shards/loader_test_util.h"

namespace podium::data_shards {
namespace {

struct Case {
  std::string name;
  int x, y, width, height;  // part of the source
  int out_width, out_height;
};
const std::vector<Case> kCases = {{"up", 5, 7, 23, 24, 40, 32},
                                  {"down", 0, 0, 61, 47, 24, 16},
                                  {"mixed", 3, 2, 55, 18, 20, 33},
                                  {"tiny", 10, 10, 2, 1, 7, 5}};

cv::Mat source() { return read_pixels("resample_source_61x47.rgb", 61, 47); }
SourceBox whole(const cv::Mat& image) {
  return {0, 0, static_cast<double>(image.cols), static_cast<double>(image.rows)};
}

// Pillow rounds to bytes between its two passes; a difference of one step is that.
TEST(Resample, BytesEqualPillow) {
  for (const auto& [filter_name, interpolation] : {std::pair{"bilinear", Interpolation::kBilinear},
                                                   std::pair{"bicubic", Interpolation::kBicubic}}) {
    for (const Case& test : kCases) {
      const cv::Mat part = source()(cv::Rect(test.x, test.y, test.width, test.height));
      const cv::Mat result =
          resample_to_bytes(part, whole(part), interpolation, test.out_height, test.out_width);
      const std::string file = fmt::format("resample_{}_{}_{}x{}.rgb", test.name, filter_name,
                                           test.out_width, test.out_height);
      EXPECT_LE(largest_difference(result, read_pixels(file, test.out_width, test.out_height)), 1)
          << file;
    }
  }
}

// 1.01 steps: the rounding of Pillow's two passes to bytes.
TEST(Resample, PlanesEqualPillowWithFlipsAndNormalisation) {
  const Case& test = kCases[1];
  const cv::Mat expected = read_pixels("resample_down_bilinear_24x16.rgb", 24, 16);
  for (const bool flip_horizontal : {false, true}) {
    for (const bool flip_vertical : {false, true}) {
      std::vector<float> data(3 * 16 * 24);
      PlanarTarget target{.data = data.data(), .height = 16, .width = 24};
      target.flip_horizontal = flip_horizontal;
      target.flip_vertical = flip_vertical;
      target.scale = {1.0f / 255, 2.0f / 255, 0.5f / 255};
      target.offset = {0, 1, -1};
      resample_to_planes(source(), whole(source()), Interpolation::kBilinear, target);
      for (int i = 0; i < 3 * 16 * 24; ++i) {
        const int channel = i / (16 * 24), y = i / 24 % 16, x = i % 24;
        const int value = expected.at<cv::Vec3b>(flip_vertical ? 15 - y : y,
                                                 flip_horizontal ? 23 - x : x)[channel];
        const auto c = static_cast<size_t>(channel);
        ASSERT_NEAR(data[static_cast<size_t>(i)],
                    static_cast<float>(value) * target.scale[c] + target.offset[c],
                    1.01f * target.scale[c])
            << test.name << " " << channel << " " << y << " " << x;
      }
    }
  }
}

TEST(Resample, GrayEqualsPillow) {
  const cv::Mat expected = read_pixels("gray_of_source_61x47.l", 61, 47, 1);
  std::vector<float> data(61 * 47);
  const PlanarTarget target{.data = data.data(), .height = 47, .width = 61, .channels = 1};
  bytes_to_planes(source(), target);
  for (int i = 0; i < 61 * 47; ++i) ASSERT_EQ(data[static_cast<size_t>(i)], expected.data[i]) << i;
  // Through the resampler at the same size: unrounded.
  resample_to_planes(source(), whole(source()), Interpolation::kBilinear, target);
  for (int i = 0; i < 61 * 47; ++i)
    ASSERT_NEAR(data[static_cast<size_t>(i)], expected.data[i], 0.51) << i;
}

// By hand: 4 -> 2 halves with a triangle of half-width 2 around 1 and 3: weights 3, 3, 1 (of 7) and
// 1, 3, 3.
TEST(Resample, TapsOfAHalving) {
  const ResampleTaps taps = make_taps(4, 0, 4, 2, Interpolation::kBilinear);
  ASSERT_EQ(taps.count, 3);
  EXPECT_EQ(taps.first, (std::vector<int>{0, 1}));
  const std::vector<float> expected = {3.f / 7, 3.f / 7, 1.f / 7, 1.f / 7, 3.f / 7, 3.f / 7};
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_FLOAT_EQ(taps.weights[i], expected[i]) << i;
}

TEST(Resample, ConstantStaysConstantForAnySizes) {
  for (const int from : {1, 2, 3, 5, 16, 33}) {
    for (const int to : {1, 2, 3, 7, 16, 40}) {
      const cv::Mat image(from, from + 1, CV_8UC3, cv::Scalar(17, 99, 255));
      for (const auto interpolation : {Interpolation::kBilinear, Interpolation::kBicubic}) {
        const cv::Mat result = resample_to_bytes(image, whole(image), interpolation, to, to + 2);
        const cv::Mat expected(to, to + 2, CV_8UC3, cv::Scalar(17, 99, 255));
        ASSERT_EQ(largest_difference(result, expected), 0) << from << " -> " << to;
      }
    }
  }
}

}  // namespace
}  // namespace podium::data_shards
