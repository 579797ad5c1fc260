// Proves the container against a file of the Python package safetensors 0.8.0
// (tests/base/make_fixtures.py) and that every damaged file is refused by name.
#include "base/safetensors_file.h"

#include <gmock/gmock.h>

#include <cstring>

#include "base/error.h"
#include "tests/base/test_support.h"

namespace podium {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

template <typename T>
std::vector<T> values_of(const ArrayView& view) {
  std::vector<T> values(view.data.size() / sizeof(T));
  std::memcpy(values.data(), view.data.data(), view.data.size());
  return values;
}

std::string with_length(const std::string& header, const std::string& data) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i));
  return file + header + data;
}

std::string error_of(const std::string& bytes) {
  const TempFolder folder;
  const auto file = folder.write("w.safetensors", bytes);
  const std::string message = message_of<DataError>([&] { SafetensorsFile open(file); });
  EXPECT_THAT(message, StartsWith(file.string() + ": "));
  return message.substr(file.string().size() + 2);
}

std::string header_error(const std::string& header, size_t num_data_bytes) {
  return error_of(with_length(header, std::string(num_data_bytes, 'd')));
}

TEST(SafetensorsFile, ReadsTheFileOfTheReferenceImplementation) {
  const SafetensorsFile file(std::string(PODIUM_TEST_DATA) + "/reference.safetensors");
  EXPECT_EQ(file.arrays().size(), 6u);
  EXPECT_EQ(file.metadata().at("note"), "a \"quoted\" note");
  const ArrayView& weight = file.at("conv.weight", DType::kF32, 3);
  EXPECT_THAT(weight.shape, ElementsAre(1, 2, 3));
  EXPECT_THAT(values_of<float>(weight), ElementsAre(0, 0.25f, 0.5f, 0.75f, 1, 1.25f));
  EXPECT_THAT(values_of<int64_t>(file.at("count", DType::kI64, 0)), ElementsAre(-5));
  EXPECT_THAT(values_of<uint8_t>(file.at("mask", DType::kBool, 1)), ElementsAre(1, 0, 1));
  EXPECT_THAT(values_of<uint8_t>(file.at("bytes", DType::kU8, 2)), ElementsAre(1, 2, 254, 255));
  EXPECT_THAT(values_of<uint16_t>(file.at("half", DType::kF16, -1)), ElementsAre(0x3e00, 0xc000));
  EXPECT_THAT(file.at("empty").shape, ElementsAre(0, 3));
  EXPECT_TRUE(file.at("empty").data.empty());
}

TEST(SafetensorsFile, WritesTheArraysOfTheReferenceFileBack) {
  const std::string reference = std::string(PODIUM_TEST_DATA) + "/reference.safetensors";
  const SafetensorsFile source(reference);
  const TempFolder folder;
  write_safetensors(folder / "copy", source.arrays(), source.metadata());
  const SafetensorsFile copy(folder / "copy");
  EXPECT_EQ(copy.metadata(), source.metadata());
  ASSERT_EQ(copy.arrays().size(), source.arrays().size());
  for (const auto& [name, view] : source.arrays()) {
    EXPECT_EQ(copy.at(name).shape, view.shape) << name;
    EXPECT_EQ(copy.at(name).dtype, view.dtype) << name;
    EXPECT_EQ(copy.at(name).data, view.data) << name;
    const auto address = reinterpret_cast<uintptr_t>(copy.at(name).data.data());
    EXPECT_EQ(address % size_of(view.dtype), 0u) << name << " is not aligned";
  }
  // The reference orders arrays of one width by their type too; sizes agree all the same.
  EXPECT_EQ(slurp(folder / "copy").size(), slurp(reference).size());
}

TEST(SafetensorsFile, BytesOfAWrittenFile) {
  const TempFolder folder;
  write_safetensors(folder / "x", {{"b", {DType::kU8, {2}, "hi"}}, {"a", {DType::kI16, {1}, "zz"}}},
                    {{"k", "v"}});
  std::string header =
      R"({"__metadata__":{"k":"v"},"a":{"dtype":"I16","shape":[1],"data_offsets":[0,2]},)"
      R"("b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})";
  while (header.size() % 8 != 0) header += ' ';
  EXPECT_EQ(slurp(folder / "x"), with_length(header, "zzhi"));
}

TEST(SafetensorsFile, NoArrays) {
  const TempFolder folder;
  write_safetensors(folder / "x", {});
  EXPECT_TRUE(SafetensorsFile(folder / "x").arrays().empty());
}

TEST(SafetensorsFile, WriterRefusesDataThatDoesNotFitTheShape) {
  const TempFolder folder;
  const std::map<std::string, ArrayView> arrays = {{"w", {DType::kF32, {2}, "four"}}};
  EXPECT_THAT(message_of<InternalError>([&] { write_safetensors(folder / "x", arrays); }),
              HasSubstr("tensor \"w\": 4 data bytes do not fit shape [2] of F32"));
  EXPECT_EQ(folder.num_entries(), 0u);
}

TEST(SafetensorsFile, MissingNameAndWrongTypeOrRankAreNamed) {
  const SafetensorsFile file(std::string(PODIUM_TEST_DATA) + "/reference.safetensors");
  EXPECT_THAT(message_of<DataError>([&] { file.at("conv.weigth"); }),
              HasSubstr("no tensor \"conv.weigth\" among 6 (did you mean \"conv.weight\"?)"));
  EXPECT_THAT(message_of<DataError>([&] { file.at("count", DType::kF32, 0); }),
              HasSubstr("tensor \"count\" must be F32, found I64"));
  EXPECT_THAT(message_of<DataError>([&] { file.at("mask", DType::kBool, 2); }),
              HasSubstr("tensor \"mask\" must have 2 dimensions, found 1 (shape [3])"));
}

TEST(SafetensorsFile, MissingFileAndDirectory) {
  EXPECT_THAT(message_of<IoError>([] { SafetensorsFile file("/missing/w"); }),
              HasSubstr("cannot read /missing/w: No such file"));
  EXPECT_THAT(message_of<IoError>([] { SafetensorsFile file("/tmp"); }),
              HasSubstr("Is a directory"));
}

TEST(SafetensorsFile, TruncatedAnywhereIsRefused) {
  const std::string whole = slurp(std::string(PODIUM_TEST_DATA) + "/reference.safetensors");
  for (const size_t size : {size_t{0}, size_t{7}, size_t{8}, size_t{100}}) {
    EXPECT_THAT(error_of(whole.substr(0, size)), StartsWith("truncated: ")) << size;
  }
  EXPECT_THAT(
      error_of(whole.substr(0, whole.size() - 1)),
      HasSubstr("tensor \"mask\": data_offsets [40,43] do not lie within the 42 data bytes"));
}

TEST(SafetensorsFile, OversizedHeaderIsRefused) {
  std::string bytes(8, '\0');
  bytes[4] = 1;  // 2^32
  EXPECT_THAT(error_of(bytes + "{}"), HasSubstr("the header says it is 4294967296 bytes long"));
}

TEST(SafetensorsFile, HeaderOfTwoToTheSixtyThreeBytesIsRefused) {
  std::string bytes(8, '\0');
  bytes[7] = '\x80';
  EXPECT_THAT(error_of(bytes + "{}"), HasSubstr("says it is 9223372036854775808 bytes long"));
  EXPECT_THAT(error_of(std::string(8, '\xff') + "{}"), HasSubstr("18446744073709551615 bytes"));
}

TEST(SafetensorsFile, NumbersThatAreNotOffsets) {
  const auto with_offsets = [](const std::string& offsets) {
    return header_error(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[)" + offsets + "]}}", 1);
  };
  EXPECT_THAT(with_offsets("0,NaN"), HasSubstr("the header is not valid JSON"));
  for (const char* offsets : {"0,null", "0,1.0", "-1,1", "0,1e0", "0,\"1\"",
                              "0,9223372036854775808", "0,18446744073709551616"}) {
    EXPECT_THAT(with_offsets(offsets), HasSubstr("data_offsets is not a list of whole numbers"))
        << offsets;
  }
  EXPECT_THAT(with_offsets("0,1,1"), HasSubstr("data_offsets [0,1,1] do not lie"));
  EXPECT_THAT(with_offsets("9223372036854775806,9223372036854775807"), HasSubstr("do not lie"));
}

TEST(SafetensorsFile, TypesThatAreNotNames) {
  for (const char* type : {"null", "32", "\"f32\"", "[\"F32\"]"}) {
    EXPECT_THAT(
        header_error(fmt::format(R"({{"a":{{"dtype":{},"shape":[],"data_offsets":[0,1]}}}})", type),
                     1),
        HasSubstr("tensor \"a\": dtype"))
        << type;
  }
}

TEST(SafetensorsFile, HeadersThatAreNotAnObjectOfTensors) {
  EXPECT_THAT(header_error("{\"a\":", 0), HasSubstr("the header is not valid JSON"));
  EXPECT_THAT(header_error("[]", 0), HasSubstr("the header is not a JSON object"));
  EXPECT_THAT(header_error(R"({"a":{"dtype":"U8"}})", 0),
              HasSubstr("tensor \"a\": expected an object with dtype, shape and data_offsets"));
  EXPECT_THAT(header_error(R"({"__metadata__":{"k":1}})", 0),
              HasSubstr("\"__metadata__\" entry \"k\" is not a string"));
  EXPECT_THAT(header_error(R"({"a":{"dtype":"F7","shape":[],"data_offsets":[0,1]}})", 1),
              HasSubstr("tensor \"a\": dtype \"F7\" is not one of F64, F32"));
  EXPECT_THAT(header_error(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1),
              HasSubstr("tensor \"a\": shape is not a list of whole numbers: [-1]"));
  EXPECT_THAT(header_error(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
                           R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                           0),
              HasSubstr("the header has key \"a\" twice"));
}

TEST(SafetensorsFile, ShapeMustFitTheBytes) {
  EXPECT_THAT(
      header_error(R"({"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,8]}})", 8),
      HasSubstr("tensor \"a\": shape [2,2] of F32 needs 16 bytes, data_offsets [0,8] hold 8"));
  EXPECT_THAT(header_error(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,4],)"
                           R"("data_offsets":[0,0]}})",
                           0),
              HasSubstr("needs more than 2^64 bytes"));
}

TEST(SafetensorsFile, OffsetsMustCoverTheDataOnce) {
  const std::string a = R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)";
  EXPECT_THAT(header_error(a + R"("b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})", 5),
              HasSubstr("tensor \"b\": starts at data byte 3 and overlaps"));
  EXPECT_THAT(header_error(a + R"("b":{"dtype":"U8","shape":[2],"data_offsets":[5,7]}})", 7),
              HasSubstr("tensor \"b\": starts at data byte 5 and leaves a gap after byte 4"));
  EXPECT_THAT(header_error(a + R"("b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})", 7),
              HasSubstr("the tensors end at data byte 6, the file has 7"));
  EXPECT_THAT(header_error(a + R"("b":{"dtype":"U8","shape":[2],"data_offsets":[6,4]}})", 7),
              HasSubstr("data_offsets [6,4] do not lie"));
}

}  // namespace
}  // namespace podium
