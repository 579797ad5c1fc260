// Packing of NumPy arrays. Fixtures: numpy 2.4.6 (make_arrays_fixture.py).
#include <fstream>

#include "data_shards/decode/decode.h"
#include "data_shards/decode/mask.h"
#include "data_shards/format/dataset.h"
#include "data_shards/format/npy_format.h"
#include "data_shards/format/npz_index.h"
#include "data_shards/format/sample_reader.h"
#include "data_shards/pack/pack.h"
#include "data_shards/pack/pack_plan.h"
#include "data_shards/pack/verify.h"
#include "tests/data_shards/pack_fixture.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

fs::path fixture(const std::string& name) { return fs::path(PODIUM_TEST_DATA) / name; }

PackOptions options_for(const TestFolder& folder, const fs::path& input) {
  PackOptions options;
  options.layout = "npy";
  options.input = input;
  options.output = folder / "out";
  options.is_overwrite = true;
  options.num_threads = 2;
  return options;
}

std::string member_bytes(const Dataset& dataset, int64_t index, const std::string& extension) {
  const auto shared = Dataset::open(dataset.directory());
  const SampleReader reader(shared, ReaderKind::kPread);
  for (const MemberRecord& member : shared->sample(index).members) {
    if (member.extension != extension) continue;
    std::string buffer;
    return std::string(reader.read(index, member, &buffer));
  }
  ADD_FAILURE() << "no member " << extension;
  return "";
}

TEST(NpyFormat, HeaderIsNumpysByteForByte) {
  // numpy.save of numpy.zeros((24, 32, 3), "u1") and of numpy.zeros(5, "<f4"), numpy 1.24.
  const std::string image = npy_header("|u1", {24, 32, 3});
  ASSERT_EQ(image.size(), 128U);
  EXPECT_EQ(image.substr(0, 10), std::string("\x93NUMPY\x01\x00\x76\x00", 10));
  EXPECT_EQ(image.substr(10, 67),
            "{'descr': '|u1', 'fortran_order': False, 'shape': (24, 32, 3), }   ");
  EXPECT_EQ(image.back(), '\n');
  EXPECT_THAT(npy_header("<f4", {5}), HasSubstr("'shape': (5,), }"));
  const NpyHeader header = parse_npy_header(image);
  EXPECT_THAT(header.shape, ElementsAre(24, 32, 3));
  EXPECT_EQ(header.data_offset, 128);
  EXPECT_EQ(header.num_bytes(), 24 * 32 * 3);
}

TEST(NpyFormat, WhatCannotBeReadIsNamed) {
  const auto message = [](std::string header) {
    return message_of<DataError>([&] { parse_npy_header(header); });
  };
  const std::string good = npy_header("|u1", {4, 5});
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  EXPECT_THAT(message(good.substr(0, 40)), HasSubstr("ends within its header"));
  EXPECT_THAT(message("abc"), HasSubstr("does not start like one"));
  EXPECT_THAT(message(with("|u1", ">u2")), HasSubstr("type \">u2\""));
  EXPECT_THAT(message(with("|u1", "|O8")), HasSubstr("type \"|O8\""));
  EXPECT_THAT(message(with("False", "True ")), HasSubstr("Fortran order"));
  EXPECT_THAT(message(with("(4, 5)", "(4,-5)")), HasSubstr("extent \"-5\""));
  EXPECT_THAT(message(with("'shape'", "'shope'")), HasSubstr("no 'shape'"));
  EXPECT_THAT(message_of<DataError>([&] { image_of_npy(good + "123"); }),
              HasSubstr("holds 3 bytes of data, but its shape needs 20"));
  EXPECT_THAT(message_of<DataError>([&] {
                image_of_npy(npy_header("<f4", {4, 5}));
              }),
              HasSubstr("type <f4 and shape (4, 5), but an image is uint8"));
  EXPECT_THAT(message_of<DataError>([&] {
                mask_of_npy(npy_header("<i2", {1, 2}) + std::string("\x01\x00\x00\x01", 4));
              }),
              HasSubstr("mask value 256"));
}

TEST(PackArrays, NpzIsReadInPlace) {
  const TestFolder folder;
  const PackOptions options = options_for(folder, fixture("arrays.npz"));
  pack(options);
  const auto dataset = Dataset::open(options.output);
  EXPECT_EQ(dataset->task(), Task::kSegmentation);
  ASSERT_EQ(dataset->size(), 3);
  EXPECT_EQ(dataset->sample(2).key, "000000002");
  EXPECT_THAT(dataset->sample(0).mask_pixels, ElementsAre(20, 0));
  EXPECT_THAT(dataset->sample(1).mask_pixels, ElementsAre(18, 2));
  EXPECT_THAT(dataset->sample(2).mask_pixels, ElementsAre(0, 20));
  const std::string bytes = member_bytes(*dataset, 1, "npy");
  ImageDecoder decoder;
  decoder.open(bytes);
  const cv::Mat pixels = decoder.decode().pixels;
  ASSERT_EQ(pixels.size(), cv::Size(5, 4));
  for (int i = 0; i < 60; ++i) EXPECT_EQ(pixels.data[i], (60 + i) % 251) << i;
  const cv::Mat mask = decode_mask(member_bytes(*dataset, 1, "mask.npy"));
  EXPECT_EQ(mask.at<uint8_t>(2, 3), 1);
  EXPECT_EQ(mask.at<uint8_t>(2, 2), 0);
  VerifyOptions verify_options;
  verify_options.data = options.output;
  EXPECT_TRUE(verify(verify_options).bad_samples.empty());
}

TEST(PackArrays, CompressedAndCutNpzAreNamed) {
  const TestFolder folder;
  EXPECT_THAT(
      message_of<DataError>([&] { pack(options_for(folder, fixture("arrays_packed.npz"))); }),
      AllOf(HasSubstr("arrays_packed.npz: "), HasSubstr("images.npy"), HasSubstr("compressed")));
  const std::string bytes = read_file(fixture("arrays.npz"));
  for (const size_t size : {size_t{0}, size_t{100}, bytes.size() / 2, bytes.size() - 30}) {
    write_text(folder / "cut.npz", bytes.substr(0, size));
    EXPECT_THROW(index_npz(folder / "cut.npz"), DataError) << size;
  }
  std::string damaged = bytes;
  for (size_t at = bytes.size() - 200; at < bytes.size(); ++at) {
    damaged[at] = static_cast<char>(damaged[at] ^ 0xff);
    write_text(folder / "cut.npz", damaged);
    try {
      index_npz(folder / "cut.npz");
    } catch (const DataError&) {
      continue;  // either is fine; what counts is that nothing else happens
    }
  }
}

void write_array(const fs::path& file, const std::string& dtype, const std::vector<int64_t>& shape,
                 const std::string& data) {
  write_text(file, npy_header(dtype, shape) + data);
}

template <typename Number>
std::string bytes_of(const std::vector<Number>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(Number)};
}

TEST(PackArrays, FolderWithLabelsAndKeys) {
  const TestFolder folder;
  write_array(folder / "in/images.npy", "|u1", {3, 2, 2}, "abcdefghijkl");
  write_array(folder / "in/labels.npy", "<i8", {3}, bytes_of<int64_t>({2, 0, 2}));
  write_text(folder / "in/keys.txt", "x\ny\nz\n");
  PackOptions options = options_for(folder, folder / "in");
  pack(options);
  auto dataset = Dataset::open(options.output);
  EXPECT_EQ(dataset->task(), Task::kSingleLabel);
  EXPECT_THAT(dataset->classes(), ElementsAre("0", "1", "2"));
  EXPECT_EQ(dataset->sample(1).key, "y");
  EXPECT_EQ(dataset->sample(2).class_index, 2);
  EXPECT_EQ(member_bytes(*dataset, 1, "npy").substr(128), "efgh");

  const float nan = std::numeric_limits<float>::quiet_NaN();
  write_array(folder / "in/labels.npy", "<f4", {3, 2}, bytes_of<float>({1, 0, nan, 1, 0, -1}));
  options.classes = {"wet", "dry"};
  pack(options);
  dataset = Dataset::open(options.output);
  EXPECT_EQ(dataset->task(), Task::kMultiLabel);
  EXPECT_THAT(dataset->sample(1).class_vector, ElementsAre(kUnknownLabel, 1.0f));
  EXPECT_THAT(dataset->sample(2).class_vector, ElementsAre(0.0f, kUnknownLabel));
}

TEST(PackArrays, SixteenBitImagesStaySo) {
  const TestFolder folder;
  write_array(folder / "in/images.npy", "<u2", {1, 1, 3}, bytes_of<uint16_t>({0, 257, 65535}));
  const PackOptions options = options_for(folder, folder / "in");
  pack(options);
  const std::string bytes = member_bytes(*Dataset::open(options.output), 0, "npy");
  ImageDecoder decoder;
  decoder.open(bytes);
  const cv::Mat pixels = decoder.decode().pixels;
  EXPECT_EQ(pixels.at<cv::Vec3b>(0, 1), cv::Vec3b(1, 1, 1));
  EXPECT_EQ(pixels.at<cv::Vec3b>(0, 2), cv::Vec3b(255, 255, 255));
}

TEST(PackArrays, WrongShapesAndCountsAreNamed) {
  const TestFolder folder;
  const auto message = [&] {
    return message_of<DataError>([&] { pack(options_for(folder, folder / "in")); });
  };
  write_text(folder / "in/keys.txt", "");
  EXPECT_THAT(message(), HasSubstr("no array \"images\""));
  fs::remove(folder / "in/keys.txt");
  write_array(folder / "in/images.npy", "<f4", {2, 2, 2}, std::string(32, '\0'));
  EXPECT_THAT(message(), AllOf(HasSubstr("images.npy"), HasSubstr("type <f4 and shape (2, 2, 2)")));
  write_array(folder / "in/images.npy", "|u1", {2, 2, 2}, "abcdefg");
  EXPECT_THAT(message(), HasSubstr("needs 136 bytes, but has 135"));
  write_array(folder / "in/images.npy", "|u1", {2, 2, 2}, "abcdefgh");
  write_array(folder / "in/labels.npy", "|u1", {3}, "\1\2\3");
  EXPECT_THAT(message(), HasSubstr("labels.npy: 3 entries, but there are 2 images"));
  write_array(folder / "in/labels.npy", "<f8", {2}, bytes_of<double>({0, 0.5}));
  EXPECT_THAT(message(), HasSubstr("labels.npy: entry 1: label 0.5"));
  fs::remove(folder / "in/labels.npy");
  write_array(folder / "in/masks.npy", "|u1", {2, 2, 2}, std::string("\0\0\0\0\0\0\0\7", 8));
  EXPECT_THAT(message(), AllOf(HasSubstr("images[1]"), HasSubstr("masks.npy"),
                               HasSubstr("1 pixels of value 7")));
}

// A hole of 5 GiB stands for the images before: offsets need more than 32 bits.
TEST(PackArrays, FilesOver4GiBAreSliced) {
  const TestFolder folder;
  const int64_t count = (int64_t{5} << 30) / (1 << 20);
  write_array(folder / "in/images.npy", "|u1", {count, 1024, 1024}, "");
  const int64_t last = 128 + (count - 1) * (1 << 20);
  fs::resize_file(folder / "in/images.npy", static_cast<uintmax_t>(last + (1 << 20)));
  poke(folder / "in/images.npy", last, 'L');
  PackFile file;
  file.path = folder / "in/images.npy";
  file.prefix = "P";
  file.offset = last;
  file.length = 4;
  EXPECT_EQ(read_source(file), std::string("PL\0\0\0", 5));
}

}  // namespace
}  // namespace podium::data_shards
