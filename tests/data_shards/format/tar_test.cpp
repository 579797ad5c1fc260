// Tar shards: bytes equal to Python's tarfile, index equal to DALI's wds2idx, damage named with its
// offset.
#include <gtest/gtest.h>

#include "base/hash.h"
#include "data_shards/format/shard_index.h"
#include "data_shards/format/tar_format.h"
#include "data_shards/format/tar_reader.h"
#include "data_shards/format/tar_writer.h"
#include "tests/data_shards/pack_fixture.h"

namespace podium::data_shards {
namespace {

using testing::HasSubstr;

const std::filesystem::path kFixture = std::filesystem::path(PODIUM_TEST_DATA) / "wds-000000.tar";

// The fixture was written by Python 3.11.7's tarfile (make_wds2idx_fixture.py).
TEST(TarWriter, BytesEqualPythonsTarfile) {
  const TestFolder folder;
  const std::string expected = read_file(kFixture);
  TarWriter writer(folder / "again.tar");
  for (const TarMember& member : list_tar(kFixture)) {
    const auto offset = static_cast<size_t>(member.offset);
    EXPECT_EQ(writer.add(member.name, expected.substr(offset, static_cast<size_t>(member.size))),
              member.offset);
  }
  writer.finish();
  EXPECT_EQ(read_file(folder / "again.tar"), expected);
  EXPECT_EQ(writer.num_bytes(), 20480);
  EXPECT_EQ(writer.xxh3_128(), xxh3_128_hex(expected));
}

TEST(TarReader, ListsTheMembersOfTheFixture) {
  const auto members = list_tar(kFixture);
  ASSERT_EQ(members.size(), 8U);
  EXPECT_EQ(members[0].name, "img_0.jpg");
  EXPECT_EQ(members[0].offset, 512);
  EXPECT_EQ(members[0].size, 1109);
  EXPECT_EQ(members[7].name, "img_10.json");
  EXPECT_EQ(members[7].offset, 9728);
}

TEST(TarReader, TruncatedDataNamesFileOffsetAndMember) {
  const TestFolder folder;
  write_text(folder / "cut.tar", read_file(kFixture).substr(0, 6000));
  const std::string error = message_of<DataError>([&] { list_tar(folder / "cut.tar"); });
  EXPECT_THAT(error, HasSubstr("cut.tar: offset 5120: member \"scene-2.jpg\" ends at byte 6656"));
  EXPECT_THAT(error, HasSubstr("6000 bytes"));
}

TEST(TarReader, MissingEndIsTruncation) {
  const TestFolder folder;
  write_text(folder / "cut.tar", read_file(kFixture).substr(0, 10240));
  EXPECT_THAT(message_of<DataError>([&] { list_tar(folder / "cut.tar"); }),
              HasSubstr("cut.tar: offset 10240: the archive ends without"));
}

TEST(TarReader, TruncatedHeaderNamesFileAndOffset) {
  const TestFolder folder;
  write_text(folder / "cut.tar", read_file(kFixture).substr(0, 5120 + 100));
  EXPECT_THAT(message_of<DataError>([&] { list_tar(folder / "cut.tar"); }),
              HasSubstr("cut.tar: offset 5120: 100 bytes where a tar header"));
}

TEST(TarReader, FlippedHeaderByteNamesOffsetAndChecksum) {
  const TestFolder folder;
  std::filesystem::copy_file(kFixture, folder / "bad.tar");
  poke(folder / "bad.tar", 5120, 'S');
  EXPECT_THAT(message_of<DataError>([&] { list_tar(folder / "bad.tar"); }),
              HasSubstr("bad.tar: offset 5120: tar header has checksum"));
}

TEST(TarReader, MissingFileIsAnIoError) {
  EXPECT_THAT(message_of<IoError>([] { list_tar("/nonexistent/x.tar"); }),
              HasSubstr("/nonexistent/x.tar"));
}

TEST(TarFormat, LongNamesAreDividedAtASlash) {
  const std::string name = fmt::format("{:d>120}/{:f>90}", "", "");
  const auto block = encode_tar_header(name, 5);
  const auto header = decode_tar_header({block.data(), block.size()}, "here");
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->name, name);
  EXPECT_EQ(header->size, 5);
}

TEST(TarFormat, NamesThatDoNotFitAreRefused) {
  EXPECT_THAT(message_of<DataError>([] { encode_tar_header(std::string(101, 'x'), 0); }),
              HasSubstr("101 bytes"));
  EXPECT_THAT(message_of<DataError>([] { encode_tar_header("a b.jpg", 0); }),
              HasSubstr("white space"));
}

TEST(ShardIndex, PathEndsAtTheFirstDot) {
  EXPECT_EQ(shard_index_path("a/b.c/data-000000.tar"), "a/b.c/data-000000.idx");
}

// The index beside the fixture was written by wds2idx of nvidia-dali-cuda120 2.4.0.
TEST(ShardIndex, DifferenceNamesLine) {
  const std::string text = read_file(shard_index_path(kFixture));
  SampleRecord sample;
  sample.key = sample.stem = "img_0";
  sample.members = {{"jpg", "", 512, 1109, 0, 32, 24}, {"json", "", 2560, 19, 0, 0, 0}};
  EXPECT_NO_THROW(check_shard_index("v1.2 1\njpg 512 1109 img_0.jpg json 2560 19 img_0.json\n",
                                    {sample}, "x.idx"));
  EXPECT_THAT(message_of<DataError>([&] { check_shard_index(text, {sample}, "x.idx"); }),
              HasSubstr("x.idx:1: \"v1.2 4\", but the sample table needs \"v1.2 1\""));
  sample.members[0].size = 1110;
  EXPECT_THAT(message_of<DataError>([&] {
                check_shard_index("v1.2 1\njpg 512 1109 img_0.jpg json 2560 19 img_0.json\n",
                                  {sample}, "x.idx");
              }),
              HasSubstr("x.idx:2: "));
}

}  // namespace
}  // namespace podium::data_shards
