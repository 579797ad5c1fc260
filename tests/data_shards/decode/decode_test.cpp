// ImageDecoder against Pillow 13.0.0 (fixtures: loader_data/make_loader_fixtures.py) and against
// its own full decode.
#include "data_shards/decode/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/data_shards/loader_test_util.h"

namespace podium::data_shards {
namespace {

using testing::HasSubstr;

cv::Mat decode_file(const std::string& name) {
  ImageDecoder decoder;
  const std::string bytes = read_file(loader_fixture(name));
  decoder.open(bytes);
  return decoder.decode().pixels.clone();
}

std::string error_of(const std::string& bytes) {
  ImageDecoder decoder;
  try {
    decoder.open(bytes);
    decoder.decode();
  } catch (const DataError& error) {
    return error.what();
  }
  return "no error";
}

TEST(ImageDecoder, JpegPixelsEqualPillow) {
  for (const std::string name :
       {"jpeg420_75x53", "jpeg422_75x53", "jpeg444_75x53", "progressive_75x53"}) {
    EXPECT_EQ(largest_difference(decode_file(name + ".jpg"), read_pixels(name + ".rgb", 75, 53)), 0)
        << name;
  }
  EXPECT_EQ(
      largest_difference(decode_file("gray_32x24.jpg"), read_pixels("gray_32x24.rgb", 32, 24)), 0);
  EXPECT_LE(
      largest_difference(decode_file("cmyk_32x24.jpg"), read_pixels("cmyk_32x24.rgb", 32, 24)), 1);
}

TEST(ImageDecoder, OtherFormatsBecomeRgb) {
  const cv::Mat rgb = read_pixels("rgb_32x24.rgb", 32, 24);
  for (const std::string name :
       {"rgb_32x24.png", "rgba_32x24.png", "webp_32x24.webp", "tiff_32x24.tif"}) {
    EXPECT_EQ(largest_difference(decode_file(name), rgb), 0) << name;
  }
  EXPECT_EQ(largest_difference(decode_file("graypng_32x24.png"),
                               read_pixels("graypng_32x24.rgb", 32, 24)),
            0);
}

TEST(ImageDecoder, SixteenBitsAreRoundedToEight) {
  const cv::Mat pixels = decode_file("gray16_32x24.png");
  for (int i = 0; i < 32 * 24; ++i) {
    const int expected = (85 * i + 128) / 257;  // value / 257 rounded
    ASSERT_EQ(pixels.at<cv::Vec3b>(i / 32, i % 32)[1], expected) << i;
  }
}

TEST(ImageDecoder, ExifOrientationIsIgnored) {
  const cv::Mat pixels = decode_file("exif_32x24.jpg");
  EXPECT_EQ(pixels.cols, 32);
  EXPECT_EQ(pixels.rows, 24);
}

// Every kind of edge: at the border, inside a block, across blocks, one pixel.
TEST(ImageDecoder, JpegRegionEqualsPartOfFullDecode) {
  const std::vector<PixelRect> regions = {{0, 0, 75, 53},   {0, 0, 16, 16},   {1, 1, 17, 15},
                                          {15, 17, 20, 30}, {16, 16, 16, 16}, {31, 5, 2, 40},
                                          {33, 20, 1, 1},   {60, 40, 15, 13}, {74, 52, 1, 1},
                                          {7, 48, 50, 5},   {47, 0, 17, 9}};
  for (const std::string name :
       {"jpeg420_75x53.jpg", "jpeg422_75x53.jpg", "jpeg444_75x53.jpg", "progressive_75x53.jpg"}) {
    const std::string bytes = read_file(loader_fixture(name));
    ImageDecoder decoder;
    decoder.open(bytes);
    const cv::Mat full = decoder.decode().pixels.clone();
    for (const PixelRect& region : regions) {
      const DecodedRegion part = decoder.decode(region);
      const cv::Mat expected = full(cv::Rect(region.x, region.y, region.width, region.height));
      EXPECT_EQ(largest_difference(part.pixels, expected), 0)
          << name << " " << region.x << "," << region.y << " " << region.width << "x"
          << region.height;
    }
  }
}

TEST(ImageDecoder, ReducedRegionEqualsPartOfReducedDecode) {
  const std::string bytes = read_file(loader_fixture("jpeg420_75x53.jpg"));
  ImageDecoder decoder;
  decoder.open(bytes);
  for (const int denominator : {2, 4, 8}) {
    const cv::Mat full = decoder.decode({0, 0, 75, 53}, denominator).pixels.clone();
    EXPECT_EQ(full.cols, (75 + denominator - 1) / denominator);
    const DecodedRegion part = decoder.decode({21, 13, 33, 29}, denominator);
    EXPECT_EQ(part.x, 21 / denominator);
    EXPECT_EQ(part.y, 13 / denominator);
    const cv::Mat expected = full(cv::Rect(part.x, part.y, part.pixels.cols, part.pixels.rows));
    EXPECT_EQ(largest_difference(part.pixels, expected), 0) << denominator;
  }
}

TEST(ImageDecoder, ReducesOnlyWhileTheRegionCoversTheOutput) {
  const std::string bytes = read_file(loader_fixture("jpeg420_75x53.jpg"));
  ImageDecoder decoder;
  decoder.open(bytes);
  EXPECT_EQ(decoder.best_denominator({0, 0, 64, 48}, 33, 24), 1);
  EXPECT_EQ(decoder.best_denominator({0, 0, 64, 48}, 32, 24), 2);
  EXPECT_EQ(decoder.best_denominator({0, 0, 64, 48}, 16, 13), 2);
  EXPECT_EQ(decoder.best_denominator({0, 0, 64, 48}, 16, 12), 4);
  EXPECT_EQ(decoder.best_denominator({0, 0, 64, 48}, 8, 6), 8);
  const std::string png = read_file(loader_fixture("rgb_32x24.png"));
  decoder.open(png);
  EXPECT_EQ(decoder.best_denominator({0, 0, 32, 24}, 4, 3), 1);
}

TEST(ImageDecoder, DamagedFilesAreDataErrors) {
  const std::string jpeg = read_file(loader_fixture("jpeg420_75x53.jpg"));
  EXPECT_THAT(error_of(""), HasSubstr("the file is empty"));
  EXPECT_THAT(error_of("not an image"), HasSubstr("cannot decode the image: not a JPEG"));
  EXPECT_THAT(error_of(jpeg.substr(0, jpeg.size() / 2)), HasSubstr("Premature end of JPEG file"));
  EXPECT_THAT(error_of(jpeg.substr(0, 20)), HasSubstr("cannot decode the image"));
  EXPECT_THAT(error_of(read_file(loader_fixture("rgb_32x24.png")).substr(0, 60)),
              HasSubstr("cannot decode the image"));
  std::string damaged = jpeg;
  damaged.replace(jpeg.size() / 2, 2, "\xff\xd0");  // a marker amid the data
  EXPECT_THAT(error_of(damaged), HasSubstr("Corrupt JPEG data"));
  EXPECT_EQ(error_of(jpeg), "no error");
}

TEST(ImageDecoder, GoesOnAfterADamagedFile) {
  const std::string jpeg = read_file(loader_fixture("jpeg420_75x53.jpg"));
  ImageDecoder decoder;
  const std::string cut = jpeg.substr(0, jpeg.size() / 2);
  decoder.open(cut);
  EXPECT_THROW(decoder.decode(), DataError);
  decoder.open(jpeg);
  EXPECT_EQ(largest_difference(decoder.decode().pixels, read_pixels("jpeg420_75x53.rgb", 75, 53)),
            0);
}

TEST(ImageDecoder, AbsurdSizeInTheHeaderIsRefused) {
  std::string jpeg = read_file(loader_fixture("jpeg420_75x53.jpg"));
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  for (size_t i = 5; i < 9; ++i) jpeg[frame + i] = '\xfd';  // height and width 65021
  EXPECT_THAT(error_of(jpeg), HasSubstr("65021 x 65021 px"));
}

}  // namespace
}  // namespace podium::data_shards
