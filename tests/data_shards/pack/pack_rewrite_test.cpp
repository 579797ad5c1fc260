// Images that are stored otherwise than found: --decode, --resize, --max_side, --exif; and what of
// each file format is packed. Fixtures: Pillow 13.0.0 (loader_data/make_loader_fixtures.py).
#include "data_shards/pack/pack_rewrite.h"

#include "data_shards/decode/decode.h"
#include "data_shards/decode/exif.h"
#include "data_shards/format/dataset.h"
#include "data_shards/format/sample_reader.h"
#include "data_shards/pack/verify.h"
#include "tests/data_shards/loader_test_util.h"
#include "tests/data_shards/pack_fixture.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

PackOptions folder_options(const TestFolder& folder) {
  PackOptions options;
  options.layout = "class_folders";
  options.input = folder / "in";
  options.output = folder / "out";
  options.is_overwrite = true;
  options.num_threads = 2;
  return options;
}

void add_fixture(const TestFolder& folder, const std::string& name) {
  fs::create_directories(folder / "in");
  fs::copy_file(loader_fixture(name), folder / "in" / name);
}

struct Member {
  MemberRecord record;
  std::string bytes;
};

// The first image of sample `key`.
Member image_of(const fs::path& folder, const std::string& key) {
  const auto dataset = Dataset::open(folder);
  const SampleReader reader(dataset, ReaderKind::kMmap);
  const int64_t index = dataset->find(key);
  std::string buffer;
  for (const MemberRecord& member : dataset->sample(index).members) {
    if (member.width > 0 && member.extension.rfind("mask.", 0) != 0) {
      return {member, std::string(reader.read(index, member, &buffer))};
    }
  }
  ADD_FAILURE() << "no image";
  return {};
}

cv::Mat pixels_of(const Member& member) {
  ImageDecoder decoder;
  decoder.open(member.bytes);
  return decoder.decode().pixels.clone();
}

// Each of them is packed, verified, and read with the pixels that the decoder gives for the file.
TEST(PackFormats, AllAreStoredAndDecodedToTheSamePixels) {
  const std::vector<std::string> names = {
      "jpeg420_75x53.jpg", "progressive_75x53.jpg", "gray_32x24.jpg",    "cmyk_32x24.jpg",
      "rgb_32x24.png",     "rgba_32x24.png",        "graypng_32x24.png", "gray16_32x24.png",
      "webp_32x24.webp",   "tiff_32x24.tif",        "exif_32x24.jpg"};
  const TestFolder folder;
  for (const std::string& name : names) add_fixture(folder, name);
  cv::Mat wide(24, 32, CV_16UC3);  // colour of 16 bits, as PNG and as TIFF
  for (int i = 0; i < 24 * 32 * 3; ++i) wide.ptr<uint16_t>()[i] = static_cast<uint16_t>(28 * i);
  cv::imwrite(folder / "in/wide.png", wide);
  cv::imwrite(folder / "in/wide.tiff", wide);
  fs::rename(folder / "in/wide.tiff", folder / "in/wide_tiff.tiff");
  PackOptions options = folder_options(folder);
  pack(options);
  options.output = folder / "decoded";
  options.rewrite.decode = true;
  pack(options);
  const auto dataset = Dataset::open(folder / "out");
  ASSERT_EQ(dataset->size(), 13);
  EXPECT_THAT(dataset->image_members(), ElementsAre("jpg", "png", "tif", "webp"));
  EXPECT_THAT(Dataset::open(folder / "decoded")->image_members(), ElementsAre("npy"));
  for (int64_t i = 0; i < dataset->size(); ++i) {
    const std::string& key = dataset->sample(i).key;
    const Member stored = image_of(folder / "out", key);
    const Member decoded = image_of(folder / "decoded", key);
    EXPECT_EQ(decoded.record.extension, "npy");
    EXPECT_EQ(largest_difference(pixels_of(stored), pixels_of(decoded)), 0) << key;
  }
  EXPECT_EQ(pixels_of(image_of(folder / "out", "wide")).at<cv::Vec3b>(1, 0)[2], 28 * 96 / 257);
  EXPECT_EQ(largest_difference(pixels_of(image_of(folder / "out", "wide")),
                               pixels_of(image_of(folder / "out", "wide_tiff"))),
            0);
  for (const char* set : {"out", "decoded"}) {
    VerifyOptions verify_options;
    verify_options.data = folder / set;
    EXPECT_TRUE(verify(verify_options).bad_samples.empty()) << set;
  }
}

TEST(PackFormats, FloatingPointPixelsAreNamed) {
  const TestFolder folder;
  fs::create_directories(folder / "in");
  cv::imwrite(folder / "in/float.tiff", cv::Mat(4, 4, CV_32FC1, cv::Scalar(0.5)));
  EXPECT_THAT(message_of<DataError>([&] { pack(folder_options(folder)); }),
              AllOf(HasSubstr("float.tiff"), HasSubstr("32 bits (floating point)")));
}

TEST(Exif, OrientationIsReadFromEveryFormat) {
  EXPECT_EQ(exif_orientation(read_file(loader_fixture("exif_32x24.jpg"))), 6);
  EXPECT_EQ(exif_orientation(read_file(loader_fixture("jpeg420_75x53.jpg"))), 1);
  EXPECT_EQ(exif_orientation(read_file(loader_fixture("rgb_32x24.png"))), 1);
  // One entry: tag 0x0112, type short, count 1, value 8; in both byte orders.
  const std::string intel("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0\0\0\0\0", 26);
  const std::string motorola("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0", 26);
  const std::string png = std::string(
                              "\x89PNG\r\n\x1a\n\0\0\0\x1a"
                              "eXIf",
                              16) +
                          motorola + "crc.";
  const std::string webp = std::string("RIFF....WEBPEXIF\x1a\0\0\0", 20) + intel;
  EXPECT_EQ(exif_orientation(png), 8);
  EXPECT_EQ(exif_orientation(webp), 8);
  for (size_t size = 0; size < png.size(); ++size) exif_orientation(png.substr(0, size));
  for (size_t size = 0; size < webp.size(); ++size) exif_orientation(webp.substr(0, size));
}

// By hand from the definition: which corner of the scene the first stored row and column show.
TEST(Exif, UprightTurnsAllEight) {
  cv::Mat stored(2, 3, CV_8UC1);
  std::copy_n("abcdef", 6, stored.data);
  const std::vector<std::string> expected = {"abc/def",  "cba/fed",  "fed/cba",  "def/abc",
                                             "ad/be/cf", "da/eb/fc", "fc/eb/da", "cf/be/ad"};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const cv::Mat scene = upright(stored, orientation);
    std::string text;
    for (int y = 0; y < scene.rows; ++y) {
      if (y > 0) text += "/";
      text.append(scene.ptr<char>(y), static_cast<size_t>(scene.cols));
    }
    EXPECT_EQ(text, expected[static_cast<size_t>(orientation - 1)]) << orientation;
  }
}

TEST(PackRewrite, ExifIsAppliedOnDemand) {
  const TestFolder folder;
  add_fixture(folder, "exif_32x24.jpg");
  PackOptions options = folder_options(folder);
  pack(options);
  const Member stored = image_of(folder / "out", "exif_32x24");
  EXPECT_EQ(stored.record.width, 32);
  EXPECT_EQ(stored.bytes, read_file(loader_fixture("exif_32x24.jpg")));
  options.rewrite.is_upright = true;
  options.rewrite.decode = true;
  pack(options);
  const Member turned = image_of(folder / "out", "exif_32x24");
  EXPECT_EQ(turned.record.width, 24);
  EXPECT_EQ(turned.record.height, 32);
  // 6: the first row lies at the right, so the first pixel becomes the top right one.
  EXPECT_EQ(pixels_of(turned).at<cv::Vec3b>(0, 23), pixels_of(stored).at<cv::Vec3b>(0, 0));
}

TEST(PackRewrite, MaxSideReducesLargeImagesOnly) {
  const TestFolder folder;
  write_image(folder / "in/large.jpg", 60, 90, 1);
  write_image(folder / "in/small.jpg", 20, 30, 2);
  PackOptions options = folder_options(folder);
  options.rewrite.max_side = 45;
  pack(options);
  const Member large = image_of(folder / "out", "large");
  EXPECT_EQ(large.record.extension, "jpg");
  EXPECT_EQ(large.record.width, 45);
  EXPECT_EQ(large.record.height, 30);
  EXPECT_EQ(image_of(folder / "out", "small").bytes, read_file(folder / "in/small.jpg"));
}

TEST(PackRewrite, ReductionIsTheMeanOfTheCoveredPixels) {
  const TestFolder folder;
  cv::Mat image(4, 4, CV_8UC3);
  for (int i = 0; i < 48; ++i) image.data[i] = static_cast<uint8_t>(5 * i);
  fs::create_directories(folder / "in");
  cv::imwrite(folder / "in/a.png", image);
  PackOptions options = folder_options(folder);
  options.rewrite.resize_width = 2;
  options.rewrite.resize_height = 2;
  pack(options);
  const Member reduced = image_of(folder / "out", "a");
  EXPECT_EQ(reduced.record.extension, "png");
  // Blue of pixels (0,0), (0,1), (1,0), (1,1): 0, 15, 60, 75; their mean is 37.5.
  EXPECT_NEAR(pixels_of(reduced).at<cv::Vec3b>(0, 0)[2], 37.5, 0.6);
}

TEST(PackRewrite, MaskIsResizedWithItsImage) {
  const TestFolder folder;
  write_image(folder / "in/images/a.png", 8, 12, 1);
  cv::Mat mask = cv::Mat::zeros(8, 12, CV_8UC1);
  mask.colRange(6, 12).setTo(1);
  write_mask(folder / "in/masks/a.png", mask);
  PackOptions options = folder_options(folder);
  options.layout = "image_mask";
  options.rewrite.max_side = 6;
  options.rewrite.decode = true;
  pack(options);
  const auto dataset = Dataset::open(folder / "out");
  EXPECT_THAT(dataset->sample(0).mask_pixels, ElementsAre(12, 12));
  EXPECT_EQ(dataset->sample(0).members[0].extension, "mask.npy");
  EXPECT_EQ(dataset->sample(0).members[0].width, 6);
}

// Same pixels, smaller than what OpenCV encodes, the same bytes with any number of threads; images
// of other kinds stay as they are.
TEST(PackRewrite, RestartMarkersKeepPixels) {
  const TestFolder folder;
  add_fixture(folder, "progressive_75x53.jpg");
  add_fixture(folder, "rgb_32x24.png");
  write_image(folder / "in/large.jpg", 90, 150, 1);
  PackOptions options = folder_options(folder);
  options.rewrite.jpeg_restart_px = 32;
  pack(options);
  options.output = folder / "again";
  options.num_threads = 1;
  pack(options);
  EXPECT_EQ(read_file(folder / "out/data-000000.tar"), read_file(folder / "again/data-000000.tar"));
  for (const std::string name : {"progressive_75x53.jpg", "rgb_32x24.png", "large.jpg"}) {
    const std::string original = read_file(folder / "in" / name);
    const Member stored = image_of(folder / "out", fs::path(name).stem());
    EXPECT_EQ(stored.bytes != original, fs::path(name).extension() == ".jpg") << name;
    EXPECT_EQ(largest_difference(pixels_of(stored), pixels_of({{}, original})), 0) << name;
  }
  VerifyOptions verify_options;
  verify_options.data = folder / "out";
  EXPECT_TRUE(verify(verify_options).bad_samples.empty());
  options.rewrite.decode = true;
  EXPECT_THAT(message_of<UsageError>([&] { pack(options); }),
              HasSubstr("--jpeg_restart_px does not go with it"));
}

// Sizes are changed first.
TEST(PackRewrite, RestartMarkersOfReducedImages) {
  const TestFolder folder;
  write_image(folder / "in/large.jpg", 60, 90, 1);
  PackOptions options = folder_options(folder);
  options.rewrite.max_side = 45;
  pack(options);
  const Member plain = image_of(folder / "out", "large");
  options.rewrite.jpeg_restart_px = 16;
  pack(options);
  const Member marked = image_of(folder / "out", "large");
  EXPECT_NE(marked.bytes, plain.bytes);
  EXPECT_EQ(largest_difference(pixels_of(marked), pixels_of(plain)), 0);
}

TEST(PackRewrite, ContradictingSizesAreRefused) {
  const TestFolder folder;
  write_image(folder / "in/a.png", 8, 8, 1);
  PackOptions options = folder_options(folder);
  options.rewrite.resize_width = options.rewrite.resize_height = 4;
  options.rewrite.max_side = 4;
  EXPECT_THAT(message_of<UsageError>([&] { pack(options); }), HasSubstr("only one of them"));
}

}  // namespace
}  // namespace podium::data_shards
