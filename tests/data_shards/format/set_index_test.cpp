// samples.bin: its bytes, what damage to them leads to, and the memory that it takes.
#include "data_shards/format/set_index.h"

#include <malloc.h>

#include <algorithm>
#include <cstring>

#include "base/rng.h"
#include "data_shards/format/sample_reader.h"
#include "data_shards/format/set_index_layout.h"
#include "data_shards/format/set_index_writer.h"
#include "tests/data_shards/pack_fixture.h"
#include "tests/data_shards/synthetic_set.h"

namespace podium::data_shards {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// Two shards of one sample each. Keys come in falling order.
std::string two_samples() {
  SampleRecord b;
  b.key = b.stem = "b";
  b.group = "g";
  b.class_index = 1;
  b.members = {{"jpg", "", 512, 300, 0x0123456789abcdef, 32, 24}, {"cls", "", 1536, 1, 7, 0, 0}};
  SampleRecord a;
  a.key = a.group = "a";
  a.stem = "s";
  a.class_vector = {1, 0, kUnknownLabel};
  a.mask_pixels = {11, 12};
  a.members = {{"jpg", "x/a.JPG", 1024, 5, 9, 3, 4}};
  ShardInfo first;
  first.file = "d-0.tar";
  first.num_bytes = 10240;
  first.xxh3_128 = "D";
  first.samples_xxh3_128 = "T";
  ShardInfo second;
  second.file = "d-1.tar";
  second.num_bytes = 20480;
  second.xxh3_128 = "E";
  MemorySink sink;
  SetIndexWriter writer(&sink, "set");
  writer.add(first, {b});
  writer.add(second, {a});
  writer.finish();
  return sink.take();
}

// The same written by Python 3.11's struct.pack from the description in docs/formats.md.
constexpr const char* kTwoSamples =
    "706f64696478320a000000000000000000000000010000000200000000000000000000000100000000000000"
    "0100000000020000000000002c01000000000000efcdab896745230120000000180000000000000000000000"
    "0006000000000000010000000000000007000000000000000000000000000000010000000000000062670200"
    "00000000000001000000ffffffff010000000200000003000000010000000100000000000000000400000000"
    "000005000000000000000900000000000000030000000400000000000000070000000b000000000000000c00"
    "0000000000000100ff6173782f612e4a5047030000006a706703000000636c73000000000000000001000000"
    "00000000002800000000000007000000010000000100000000000000642d302e746172445401000000000000"
    "000100000000000000005000000000000007000000010000000000000000000000642d312e74617245fc0000"
    "00000000002d0100000000000008000000000000008200000000000000010000000000000002000000000000"
    "00020000000000000002000000000000000300000000000000ee00000000000000fc000000000000005d0100"
    "0000000000706f64696478320a";

TEST(SetIndex, BytesAreThoseOfTheDescription) {
  std::string hex;
  for (const char byte : two_samples()) hex += fmt::format("{:02x}", static_cast<uint8_t>(byte));
  EXPECT_EQ(hex, kTwoSamples);
}

TEST(SetIndex, GivesBackWhatWasWritten) {
  const SetIndex index(two_samples(), "x");
  ASSERT_EQ(index.num_samples(), 2);
  ASSERT_EQ(index.num_shards(), 2);
  EXPECT_EQ(index.num_members(), 3);
  const SampleRecord b = index.sample(0);
  EXPECT_EQ(b.key + b.stem + b.group, "bbg");
  EXPECT_EQ(b.class_index, 1);
  EXPECT_EQ(b.members[0].xxh3, 0x0123456789abcdefU);
  EXPECT_EQ(b.members[1].extension, "cls");
  const SampleRecord a = index.sample(1);
  EXPECT_EQ(a.key + a.stem + a.group, "asa");
  EXPECT_EQ(a.shard, 1);
  EXPECT_EQ(a.class_index, kNoClass);
  EXPECT_THAT(a.class_vector, ElementsAre(1, 0, kUnknownLabel));
  EXPECT_THAT(a.mask_pixels, ElementsAre(11, 12));
  EXPECT_EQ(a.members[0].name, "x/a.JPG");
  EXPECT_EQ(a.members[0].height, 4);
  EXPECT_EQ(index.key(1), "a");
  EXPECT_EQ(index.class_index(0), 1);
  EXPECT_EQ(index.shard_of(1), 1);
  EXPECT_EQ(index.member_number(0, 1536), 1);
  EXPECT_EQ(index.member_number(1, 1024), 2);
  EXPECT_EQ(index.member_number(1, 512), -1);
  EXPECT_EQ(index.shard(1).file, "d-1.tar");
  EXPECT_EQ(index.shard_file(1), "d-1.tar");
  EXPECT_EQ(index.shard(1).first_sample, 1);
  EXPECT_EQ(index.shard_bytes(1), 20480);
}

TEST(SetIndex, FindsKeysInAnyOrderOfTheSamples) {
  const SetIndex index(two_samples(), "x");
  EXPECT_EQ(index.find("a"), 1);
  EXPECT_EQ(index.find("b"), 0);
  for (const char* key : {"", "A", "ab", "c"}) EXPECT_EQ(index.find(key), -1) << key;
}

// Everything that can be asked of an index.
void read_all(const SetIndex& index) {
  for (int64_t i = 0; i < index.num_samples(); ++i) {
    const SampleRecord sample = index.sample(i);
    index.find(index.key(i));
    index.member_number(i, 512);
    index.shard_bytes(index.shard_of(i));
    EXPECT_FALSE(sample.members.empty());
  }
  for (int64_t i = 0; i < index.num_shards(); ++i) {
    index.shard_file(i);
    index.shard(i);
  }
}

// A digest guards the file; bytes that are wrong all the same are refused or read as other values.
TEST(SetIndex, NoDamageLeadsOutOfTheBytes) {
  const std::string good = two_samples();
  int num_refused = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      try {
        read_all(SetIndex(bad, "x"));
      } catch (const DataError& error) {
        ++num_refused;
        EXPECT_THAT(error.what(), HasSubstr("x (byte "));
      }
    }
    EXPECT_THROW(SetIndex(good.substr(0, at), "x"), DataError) << at;
  }
  EXPECT_GT(num_refused, 300);  // the others are in keys, digests, sizes in px and such
}

TEST(SetIndex, DamageIsNamedWithItsPlace) {
  const std::string good = two_samples();
  const auto error_of = [&](size_t at, uint32_t value) {
    std::string bad = good;
    std::memcpy(bad.data() + at, &value, sizeof(value));
    return message_of<DataError>([&] { read_all(SetIndex(bad, "x")); });
  };
  EXPECT_THAT(error_of(0, 0), HasSubstr("x (byte 0): no sample index of this version"));
  // Fields of the first sample, whose record begins at byte 8.
  EXPECT_THAT(error_of(8 + 8, 2), HasSubstr("x (byte 8): sample 0 is of shard 2 of 2"));
  EXPECT_THAT(error_of(8 + 16, 0), HasSubstr("x (byte 8): sample 0 has no members"));
  EXPECT_THAT(error_of(8 + 16, 9), HasSubstr("x (byte 8): sample 0 is longer than its place"));
  EXPECT_THAT(error_of(8 + 28, 0), HasSubstr("x (byte 8): sample 0 has no key"));
  EXPECT_THAT(error_of(8 + 0, 2), HasSubstr("x (byte 8): sample 0 has more members than the set"));
  EXPECT_THAT(error_of(8 + 40 + 32, 7), HasSubstr("x (byte 48): a member has an unknown exten"));
  EXPECT_THAT(error_of(good.size() - 64, 3), HasSubstr("3 samples do not fit tables of 40 bytes"));
}

TEST(SetIndex, KeyThatComesTwiceIsNamed) {
  SampleRecord sample = synthetic_sample(0, 0);
  MemorySink sink;
  SetIndexWriter writer(&sink, "set");
  writer.add({}, {sample, synthetic_sample(0, 1)});
  writer.add({}, {synthetic_sample(1, 0), sample});
  EXPECT_THAT(message_of<DataError>([&] { writer.finish(); }),
              HasSubstr("set: key \"train/000000_0000000\" belongs to samples 0 and 3"));
}

TEST(SetIndex, ComparisonNamesTheFirstDifferentByte) {
  const std::string good = two_samples();
  std::string other = good;
  other[good.find("d-1.tar")] = 'e';
  const SetIndex index(good, "x");
  const auto compare = [&](const std::string& expected) {
    const auto sink = make_comparing_sink(expected, "file");
    SetIndexWriter writer(sink.get(), "set");
    writer.add(index.shard(0), {index.sample(0)});
    writer.add(index.shard(1), {index.sample(1)});
    writer.finish();
  };
  compare(good);
  EXPECT_THAT(message_of<DataError>([&] { compare(other); }), HasSubstr("file (byte "));
  EXPECT_THAT(message_of<DataError>([&] { compare(good + "x"); }), HasSubstr("file: 454 bytes"));
}

// What 200,000 samples take that 1,000 do not, while they are read at random.
TEST(SetIndex, MemoryDoesNotGrowWithTheSet) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory is in the way";
#endif
  const TestFolder folder;
  write_synthetic_set(folder / "small", 10, 100);
  write_synthetic_set(folder / "large", 10, 20000);
  const auto bytes_with = [](const std::filesystem::path& set) {
    malloc_trim(0);
    const auto dataset = Dataset::open(set);
    const SampleReader reader(dataset, ReaderKind::kMmap);
    Rng rng(1, RandomPurpose::kTest);
    for (int i = 0; i < 20000; ++i) {
      const auto index = static_cast<int64_t>(rng.below(static_cast<uint64_t>(dataset->size())));
      const SampleRecord sample = dataset->sample(index);
      EXPECT_EQ(dataset->find(sample.key), index);
    }
    return process_bytes("RssAnon");
  };
  bytes_with(folder / "small");  // what the first use of anything takes
  const int64_t small = bytes_with(folder / "small");
  const int64_t large = bytes_with(folder / "large");
  ASSERT_GT(small, 0);
  EXPECT_LT(large - small, int64_t{1} << 20);
  EXPECT_GT(std::filesystem::file_size(folder / "large/samples.bin"), 20U << 20);
}

}  // namespace
}  // namespace podium::data_shards
