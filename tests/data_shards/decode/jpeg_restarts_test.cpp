// JPEGs with restart markers: repacking keeps pixels and metadata, and a region decoded from its
// own segments equals the same part of a full decode. Full decodes are compared with Pillow in
// decode_test.cpp; here they are the reference.
#include "data_shards/decode/jpeg_restarts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "data_shards/decode/decode.h"
#include "data_shards/decode/jpeg_errors.h"
#include "tests/data_shards/loader_test_util.h"

namespace podium::data_shards {
namespace {

using testing::HasSubstr;

struct Encoding {
  int width = 133;  // px
  int height = 101;
  int num_components = 3;
  int horizontal = 2;  // sampling factors of the first component
  int vertical = 2;
  unsigned restart_mcus = 0;
  int restart_rows = 0;
  bool has_separate_scans = false;
};

// Waves and grain, so that every block has many coefficients.
std::string encode(const Encoding& encoding) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* bytes = nullptr;
  unsigned long num_bytes = 0;
  jpeg_mem_dest(&info, &bytes, &num_bytes);
  info.image_width = static_cast<JDIMENSION>(encoding.width);
  info.image_height = static_cast<JDIMENSION>(encoding.height);
  info.input_components = encoding.num_components;
  info.in_color_space = encoding.num_components == 3 ? JCS_RGB : JCS_GRAYSCALE;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 88, TRUE);
  info.comp_info[0].h_samp_factor = encoding.horizontal;
  info.comp_info[0].v_samp_factor = encoding.vertical;
  info.restart_interval = encoding.restart_mcus;
  info.restart_in_rows = encoding.restart_rows;
  const jpeg_scan_info scans[] = {{1, {0}, 0, 63, 0, 0}, {2, {1, 2}, 0, 63, 0, 0}};
  if (encoding.has_separate_scans) {
    info.scan_info = scans;
    info.num_scans = 2;
  }
  jpeg_start_compress(&info, TRUE);
  Rng rng(7, RandomPurpose::kDemo);
  std::vector<uint8_t> row(static_cast<size_t>(encoding.width * encoding.num_components));
  for (int y = 0; y < encoding.height; ++y) {
    for (size_t i = 0; i < row.size(); ++i) {
      const double x = static_cast<double>(i) / encoding.num_components;
      const double phase = static_cast<double>(i % 3);
      row[i] = static_cast<uint8_t>(128 + 60 * std::sin(0.21 * x + phase) * std::cos(0.13 * y) +
                                    rng.uniform(-40, 40));
    }
    JSAMPROW pointer = row.data();
    jpeg_write_scanlines(&info, &pointer, 1);
  }
  jpeg_finish_compress(&info);
  std::string result(reinterpret_cast<char*>(bytes), num_bytes);
  jpeg_destroy_compress(&info);
  std::free(bytes);
  return result;
}

cv::Mat decode_all(const std::string& bytes) {
  ImageDecoder decoder;
  decoder.open(bytes);
  return decoder.decode().pixels.clone();
}

// Header fields of a file.
struct Header {
  unsigned restart_interval = 0;
  bool is_progressive = false;
};
Header header_of(const std::string& bytes) {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&info, TRUE);
  const Header header{info.restart_interval, info.progressive_mode != 0};
  jpeg_destroy_decompress(&info);
  return header;
}

// Positions of the restart markers (those of JPEGs without 0xff in their headers' contents).
std::vector<size_t> restart_markers(const std::string& bytes) {
  std::vector<size_t> positions;
  for (size_t i = bytes.find("\xff\xda"); i + 1 < bytes.size(); ++i) {
    const auto code = static_cast<uint8_t>(bytes[i + 1]);
    if (bytes[i] == '\xff' && code >= 0xd0 && code <= 0xd7) positions.push_back(i);
  }
  return positions;
}

// At each border and corner, inside, of one pixel, and at random.
std::vector<PixelRect> regions_of(int width, int height) {
  std::vector<PixelRect> regions = {{0, 0, width, height},
                                    {0, height / 2, width, height - height / 2},
                                    {width / 2, 0, 5, height},
                                    {width - 1, height - 1, 1, 1},
                                    {0, height - 1, 1, 1},
                                    {16, 16, 16, 16},
                                    {15, 17, 18, 33},
                                    {32, 48, 33, 17},
                                    {0, 31, 40, 2},
                                    {width - 20, 32, 20, 16},
                                    {width - 33, height - 9, 20, 9},
                                    {31, 64, width - 31, 1},
                                    {width - 1, 43, 1, 20}};
  Rng rng(3, RandomPurpose::kDemo);
  for (int i = 0; i < 20; ++i) {
    PixelRect region;
    region.width = 1 + static_cast<int>(rng.below(static_cast<uint64_t>(width)));
    region.height = 1 + static_cast<int>(rng.below(static_cast<uint64_t>(height)));
    region.x = static_cast<int>(rng.below(static_cast<uint64_t>(width - region.width + 1)));
    region.y = static_cast<int>(rng.below(static_cast<uint64_t>(height - region.height + 1)));
    regions.push_back(region);
  }
  return regions;
}

std::string text_of(const PixelRect& region) {
  return std::to_string(region.x) + "," + std::to_string(region.y) + " " +
         std::to_string(region.width) + "x" + std::to_string(region.height);
}

void expect_regions_equal_full_decode(const std::string& bytes, const std::string& what) {
  ImageDecoder decoder;
  decoder.open(bytes);
  const int width = decoder.width(), height = decoder.height();
  for (const int denominator : {1, 2, 4, 8}) {
    const cv::Mat full = decoder.decode({0, 0, width, height}, denominator).pixels.clone();
    for (const PixelRect& region : regions_of(width, height)) {
      const DecodedRegion part = decoder.decode(region, denominator);
      ASSERT_EQ(part.x, region.x / denominator);
      ASSERT_EQ(part.y, region.y / denominator);
      const cv::Mat expected = full(cv::Rect(part.x, part.y, part.pixels.cols, part.pixels.rows));
      ASSERT_EQ(largest_difference(part.pixels, expected), 0)
          << what << ", 1/" << denominator << ", " << text_of(region);
    }
  }
}

TEST(JpegPart, RegionsEqualAFullDecodeForEverySamplingAndInterval) {
  for (const auto [components, horizontal, vertical] : std::vector<std::array<int, 3>>{
           {3, 2, 2}, {3, 2, 1}, {3, 1, 2}, {3, 1, 1}, {3, 4, 1}, {1, 1, 1}, {1, 2, 2}}) {
    Encoding encoding;
    encoding.num_components = components;
    encoding.horizontal = horizontal;
    encoding.vertical = vertical;
    for (const int rows : {1, 2, 4}) {
      encoding.restart_rows = rows;
      expect_regions_equal_full_decode(
          encode(encoding), std::to_string(components) + " components, " +
                                std::to_string(horizontal) + "x" + std::to_string(vertical) +
                                ", every " + std::to_string(rows) + " rows");
    }
    encoding.restart_rows = 0;
    // Whole parts of a row only at some widths (133 px are 9 MCUs of 16 px, or 17 of 8); the others
    // are read from the top.
    for (const unsigned mcus : {1U, 3U, 5U, 17U, 18U}) {
      encoding.restart_mcus = mcus;
      expect_regions_equal_full_decode(
          encode(encoding), std::to_string(components) + " components, " +
                                std::to_string(horizontal) + "x" + std::to_string(vertical) +
                                ", every " + std::to_string(mcus) + " MCUs");
    }
    encoding.restart_mcus = 0;
  }
}

TEST(JpegPart, RegionsEqualAFullDecodeForOddSizes) {
  for (const auto [width, height] :
       std::vector<std::array<int, 2>>{{65, 97}, {80, 66}, {127, 129}, {96, 96}, {67, 81}}) {
    Encoding encoding;
    encoding.width = width;
    encoding.height = height;
    const std::string bytes = with_restart_markers(encode(encoding), 32);
    ASSERT_GT(header_of(bytes).restart_interval, 0U);
    expect_regions_equal_full_decode(bytes, std::to_string(width) + " x " + std::to_string(height));
  }
}

TEST(JpegPart, SeparateScansAreReadFromTheTop) {
  Encoding encoding;
  encoding.restart_rows = 1;
  encoding.has_separate_scans = true;
  expect_regions_equal_full_decode(encode(encoding), "two scans");
}

// Segments that the region does not touch may hold anything.
TEST(JpegPart, OnlyTheSegmentsOfTheRegionAreDecoded) {
  Encoding encoding;
  encoding.width = 128;
  encoding.height = 96;
  encoding.restart_mcus = 2;  // 4 segments of 32 px in each of 6 rows of 16 px
  const std::string bytes = encode(encoding);
  const cv::Mat full = decode_all(bytes);
  const std::vector<size_t> markers = restart_markers(bytes);
  ASSERT_EQ(markers.size(), 23U);
  std::string damaged = bytes;
  for (size_t segment = 0; segment < 24; ++segment) {
    // Needed: the rows that hold px 47 to 80, the columns that hold px 38 to 62.
    const size_t row = segment / 4, column = segment % 4;
    if (row >= 2 && row <= 5 && column == 1) continue;
    const size_t begin = segment == 0 ? markers[0] - 20 : markers[segment - 1] + 2;
    const size_t end = segment == 23 ? bytes.size() - 2 : markers[segment];
    for (size_t i = begin; i < end; ++i) damaged[i] = '\x55';
  }
  ImageDecoder decoder;
  decoder.open(damaged);
  EXPECT_THROW(decoder.decode(), DataError);
  const PixelRect region{40, 48, 20, 32};
  EXPECT_EQ(largest_difference(decoder.decode(region).pixels,
                               full(cv::Rect(region.x, region.y, region.width, region.height))),
            0);
  // One pixel more needs the column beside it.
  EXPECT_THROW(decoder.decode({40, 48, 23, 32}), DataError);
  EXPECT_EQ(largest_difference(decoder.decode(region).pixels,
                               full(cv::Rect(region.x, region.y, region.width, region.height))),
            0);
}

// The pixels of `region`, or the error; of a decode from the top, which needs no markers.
std::pair<cv::Mat, std::string> decode_from_top(ImageDecoder* decoder, const PixelRect& region) {
  try {
    const PixelRect above{0, 0, decoder->width(), region.y + region.height};
    const cv::Mat pixels = decoder->decode(above).pixels.clone();
    return {pixels(cv::Rect(region.x, region.y, region.width, region.height)), ""};
  } catch (const DataError& error) {
    return {{}, error.what()};
  }
}

// Whatever is wrong with the markers: the pixels or the error of a decode from the top.
TEST(JpegPart, WrongMarkersChangeNothing) {
  Encoding encoding;
  encoding.width = 96;
  encoding.height = 208;
  encoding.restart_rows = 1;
  const std::string bytes = encode(encoding);
  const std::vector<size_t> markers = restart_markers(bytes);
  ASSERT_EQ(markers.size(), 12U);
  std::map<std::string, std::string> files;
  files["missing"] = bytes.substr(0, markers[2]) + bytes.substr(markers[2] + 2);
  std::string without_eight = bytes;
  for (size_t i = 10; i-- > 2;) without_eight.erase(markers[i], 2);
  files["eight missing"] = without_eight;
  std::string swapped = bytes;
  std::swap(swapped[markers[2] + 1], swapped[markers[3] + 1]);
  files["swapped"] = swapped;
  std::string renumbered = bytes;
  renumbered[markers[2] + 1] = '\xd5';
  files["renumbered"] = renumbered;
  std::string other = bytes;
  other[markers[2] + 1] = '\xe3';
  files["another marker"] = other;
  files["one more"] = bytes.substr(0, markers[2]) + "\xff\xd2" + bytes.substr(markers[2]);
  files["segment missing"] = bytes.substr(0, markers[2]) + bytes.substr(markers[3]);
  files["eight segments missing"] = bytes.substr(0, markers[2]) + bytes.substr(markers[10]);
  files["cut in a segment"] = bytes.substr(0, markers[3] - 9);
  files["cut behind a marker"] = bytes.substr(0, markers[3] + 1);
  for (const auto& [what, file] : files) {
    ImageDecoder decoder;
    decoder.open(file);
    EXPECT_THROW(decoder.decode(), DataError) << what;
    for (const PixelRect& region : regions_of(96, 208)) {
      const auto [expected, error] = decode_from_top(&decoder, region);
      try {
        EXPECT_EQ(largest_difference(decoder.decode(region).pixels, expected), 0)
            << what << " " << text_of(region);
        EXPECT_EQ(error, "") << what << " " << text_of(region);
      } catch (const DataError& region_error) {
        EXPECT_EQ(region_error.what(), error) << what << " " << text_of(region);
      }
    }
  }
}

TEST(JpegPart, FillingBeforeMarkersIsAllowed) {
  Encoding encoding;
  encoding.restart_rows = 1;
  std::string bytes = encode(encoding);
  const cv::Mat full = decode_all(bytes);
  const std::vector<size_t> markers = restart_markers(bytes);
  for (size_t i = markers.size(); i-- > 0;) bytes.insert(markers[i], "\xff\xff");
  ImageDecoder decoder;
  decoder.open(bytes);
  EXPECT_EQ(
      largest_difference(decoder.decode({20, 60, 50, 30}).pixels, full(cv::Rect(20, 60, 50, 30))),
      0);
}

TEST(JpegRestarts, PixelsAndMetadataStay) {
  for (const std::string name : {"jpeg420_75x53", "jpeg422_75x53", "jpeg444_75x53",
                                 "progressive_75x53", "gray_32x24", "cmyk_32x24", "exif_32x24"}) {
    std::string original = read_file(loader_fixture(name + ".jpg"));
    // A comment and an ICC profile (APP2) behind SOI and APP0, as encoders write them.
    const std::string extra("\xff\xfe\0\x07hello\xff\xe2\0\x14ICC_PROFILE\0\1\1abcd", 31);
    const size_t at = original.substr(2, 2) == "\xff\xe0" ? 20 : 2;
    original.insert(at, extra);
    const cv::Mat expected = decode_all(original);
    for (const int px : {1, 16, 40, 65536}) {
      const std::string repacked = with_restart_markers(original, px);
      EXPECT_EQ(largest_difference(decode_all(repacked), expected), 0) << name << " " << px;
      EXPECT_NE(repacked.find(extra.substr(0, 9)), std::string::npos) << name;
      EXPECT_NE(repacked.find(extra.substr(9)), std::string::npos) << name;
      EXPECT_FALSE(header_of(repacked).is_progressive) << name;
      EXPECT_EQ(with_restart_markers(repacked, px), repacked) << name;
      if (name != "exif_32x24") continue;
      const size_t exif = original.find("\xff\xe1");
      const std::string block = original.substr(exif, original.find("\xff\xdb") - exif);
      EXPECT_NE(repacked.find(block), std::string::npos);
    }
  }
}

// 75 px are 5 MCUs of 16 px (4:2:0, 4:2:2) or 10 of 8 px (4:4:4); 32 px are 4 of 8 px (gray).
TEST(JpegRestarts, IntervalDividesTheRow) {
  const auto interval = [](const std::string& name, int px) {
    return header_of(with_restart_markers(read_file(loader_fixture(name)), px)).restart_interval;
  };
  EXPECT_EQ(interval("jpeg420_75x53.jpg", 1), 1U);
  EXPECT_EQ(interval("jpeg420_75x53.jpg", 64), 1U);
  EXPECT_EQ(interval("jpeg420_75x53.jpg", 80), 5U);
  EXPECT_EQ(interval("jpeg444_75x53.jpg", 16), 2U);
  EXPECT_EQ(interval("jpeg444_75x53.jpg", 72), 5U);
  EXPECT_EQ(interval("gray_32x24.jpg", 24), 2U);
  EXPECT_EQ(interval("gray_32x24.jpg", 65536), 4U);
}

TEST(JpegRestarts, DamagedFilesAreDataErrors) {
  const std::string jpeg = read_file(loader_fixture("jpeg420_75x53.jpg"));
  for (const std::string& damaged : {jpeg.substr(0, jpeg.size() / 2), jpeg.substr(0, 20)}) {
    try {
      with_restart_markers(damaged, 16);
      ADD_FAILURE() << "no error";
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr("cannot repack the JPEG: Premature end of JPEG file"));
    }
  }
}

}  // namespace
}  // namespace podium::data_shards
