// Opening: every way in which the files of a data set can disagree is named.
#include "data_shards/dataset.h"

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "data_shards/dataset_files.h"
#include "data_shards/sample_reader.h"
#include "data_shards/set_index.h"
#include "data_shards/shard_index.h"
#include "tests/data_shards/pack_fixture.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;

// A packed set of 6 samples in "out".
class DatasetTest : public testing::Test {
 protected:
  void SetUp() override {
    pack(write_multilabel_input(folder_, 6));
    directory_ = folder_ / "out";
  }
  std::string open_error() {
    return message_of<DataError>([&] { Dataset::open(directory_); });
  }
  void change_description(const std::function<void(ordered_json*)>& change) {
    ordered_json root = ordered_json::parse(read_file(directory_ / kDatasetFile));
    change(&root);
    write_text(directory_ / kDatasetFile, root.dump(1));
  }
  // Replaces the sample table, and its digest, so that the checks behind the digest are reached.
  void replace_table(const std::string& table) {
    write_text(directory_ / "data-000000.samples.jsonl", table);
    change_description([&](ordered_json* root) {
      (*root)["shards"][0]["samples_xxh3_128"] = xxh3_128_hex(table);
    });
  }
  std::vector<SampleRecord> table() {
    const auto file = directory_ / "data-000000.samples.jsonl";
    return parse_sample_table(read_file(file), "table");
  }

  TestFolder folder_;
  fs::path directory_;
};

// python-xxhash 4.1.0: xxh3_128_hexdigest(b"water\nforest\n")
TEST_F(DatasetTest, ClassHashEqualsXxhash) {
  EXPECT_EQ(Dataset::open(directory_)->class_hash(), "4f4edd1a087e19975aa8127b58e5d90b");
}

TEST_F(DatasetTest, FindsEveryKey) {
  const auto dataset = Dataset::open(directory_);
  for (int64_t i = 0; i < dataset->size(); ++i) {
    EXPECT_EQ(dataset->find(dataset->sample(i).key), i);
  }
  EXPECT_EQ(dataset->find("img_6"), -1);
  EXPECT_EQ(dataset->find(""), -1);
}

TEST_F(DatasetTest, TableSurvivesARoundTrip) {
  EXPECT_EQ(sample_table_text(table()), read_file(directory_ / "data-000000.samples.jsonl"));
}

TEST_F(DatasetTest, UnfinishedSetIsRefused) {
  fs::remove(directory_ / "DONE");
  EXPECT_THAT(open_error(), AllOf(HasSubstr("out"), HasSubstr("DONE")));
  EXPECT_THAT(message_of<IoError>([&] { Dataset::open(folder_ / "none"); }), HasSubstr("none"));
}

TEST_F(DatasetTest, TruncatedShardIsRefused) {
  const fs::path shard = directory_ / "data-000000.tar";
  const auto size = fs::file_size(shard);
  fs::resize_file(shard, size - 10240);
  EXPECT_THAT(open_error(), HasSubstr(fmt::format("data-000000.tar: {} bytes, but dataset.json "
                                                  "says {}",
                                                  size - 10240, size)));
  fs::remove(shard);
  EXPECT_THAT(message_of<IoError>([&] { Dataset::open(directory_); }), HasSubstr("data-000000.tar"));
}

TEST_F(DatasetTest, IndexThatDoesNotFitNamesTheLine) {
  const fs::path index = directory_ / "data-000000.idx";
  const std::string good = read_file(index);
  write_text(index, "v1.2 5" + good.substr(6));
  EXPECT_THAT(open_error(), HasSubstr("data-000000.idx:1: \"v1.2 5\""));
  std::string moved = good;
  moved.replace(moved.find("jpg 512 "), 8, "jpg 1024 ");
  write_text(index, moved);
  EXPECT_THAT(open_error(), HasSubstr("data-000000.idx:2: \"jpg 1024 "));
  write_text(index, good.substr(0, good.rfind('\n', good.size() - 2) + 1));
  EXPECT_THAT(open_error(), HasSubstr("data-000000.idx:7: \"\""));
  write_text(index, good + "jpg 512 1 x.jpg\n");
  EXPECT_THAT(open_error(), HasSubstr("data-000000.idx:8: more lines"));
  fs::remove(index);
  EXPECT_THAT(message_of<IoError>([&] { Dataset::open(directory_); }), HasSubstr("data-000000.idx"));
}

TEST_F(DatasetTest, FlippedBitInATableIsNoticed) {
  poke(directory_ / "data-000000.samples.jsonl", 9, 'I');
  EXPECT_THAT(open_error(), HasSubstr("data-000000.samples.jsonl: XXH3-128 is "));
}

TEST_F(DatasetTest, DuplicateKeyIsNamed) {
  auto samples = table();
  samples[4].key = samples[2].key;
  replace_table(sample_table_text(samples));
  EXPECT_THAT(open_error(), HasSubstr("key \"img_2\" belongs to samples 2 and 4"));
}

TEST_F(DatasetTest, WrongNumberOfLabelsIsNamed) {
  auto samples = table();
  samples[3].class_vector.pop_back();
  replace_table(sample_table_text(samples));
  EXPECT_THAT(open_error(), HasSubstr("samples.jsonl:4: sample \"img_3\" needs 2 labels, found 1"));
}

TEST_F(DatasetTest, MemberOutsideTheShardIsNamed) {
  auto samples = table();
  samples[5].members[0].size = 1 << 20;
  replace_table(sample_table_text(samples));
  write_text(directory_ / "data-000000.idx", shard_index_text(samples));
  EXPECT_THAT(open_error(), AllOf(HasSubstr("samples.jsonl:6: sample \"img_5\": member jpg"),
                                  HasSubstr("1048576 bytes")));
}

TEST_F(DatasetTest, DamagedTableLinesAreNamed) {
  const std::string good = sample_table_text(table());
  replace_table(good.substr(0, good.size() - 1));
  EXPECT_THAT(open_error(), HasSubstr("samples.jsonl:6: the last line is cut"));
  replace_table("{\"key\":\"x\"}\n");
  EXPECT_THAT(open_error(), AllOf(HasSubstr("samples.jsonl:1: "), HasSubstr("members")));
  replace_table("nonsense\n");
  EXPECT_THAT(open_error(), HasSubstr("samples.jsonl:1: "));
}

TEST_F(DatasetTest, DescriptionIsCheckedAgainstTheShards) {
  const std::string good = read_file(directory_ / kDatasetFile);
  change_description([](ordered_json* root) { (*root)["shards"][0]["num_samples"] = 7; });
  EXPECT_THAT(open_error(), HasSubstr("6 samples, but dataset.json says 7"));
  write_text(directory_ / kDatasetFile, good);
  change_description([](ordered_json* root) { (*root)["num_samples"] = 7; });
  EXPECT_THAT(open_error(), HasSubstr("num_samples is 7, but the shards hold 6"));
  write_text(directory_ / kDatasetFile, good);
  change_description([](ordered_json* root) { (*root)["version"] = 2; });
  EXPECT_THAT(open_error(), AllOf(HasSubstr("dataset.json: "), HasSubstr("version 2")));
  write_text(directory_ / kDatasetFile, good);
  change_description([](ordered_json* root) { (*root)["classes"][0] = "Water"; });
  EXPECT_THAT(open_error(), HasSubstr("class_hash"));
  write_text(directory_ / kDatasetFile, good);
  change_description([](ordered_json* root) { (*root)["task"] = "multi_lable"; });
  EXPECT_THAT(open_error(), AllOf(HasSubstr("multi_lable"), HasSubstr("\"multi_label\"")));
  write_text(directory_ / kDatasetFile, good.substr(0, good.size() / 2));
  EXPECT_THAT(open_error(), HasSubstr("dataset.json: "));
}

// A set of 70 shards has a samples.bin, and opens the same from it and from the tables.
class ManyShards : public testing::Test {
 protected:
  void SetUp() override {
    write_image(folder_ / "in/a.jpg", 48, 64, 1);  // more than a third of a shard
    std::string csv = "img_id,img_path,wet\n";
    for (int i = 0; i < kNumShards; ++i) csv += fmt::format("img_{},a.jpg,{}\n", i, i % 3 - 1);
    write_text(folder_ / "in/labels.csv", csv);
    PackOptions options;
    options.input = folder_ / "in/labels.csv";
    options.output = directory_ = folder_ / "out";
    options.max_shard_bytes = 20480;  // one sample each
    pack(options);
  }
  static constexpr int kNumShards = 70;
  TestFolder folder_;
  fs::path directory_;
};

TEST_F(ManyShards, IndexAndTablesSayTheSame) {
  ASSERT_TRUE(fs::exists(directory_ / kSetIndexFile));
  const auto fast = Dataset::open(directory_);
  const auto slow = Dataset::open_and_check_tables(directory_);
  ASSERT_EQ(fast->size(), kNumShards);
  ASSERT_EQ(fast->shards().size(), size_t{kNumShards});
  EXPECT_EQ(fast->digest(), slow->digest());
  EXPECT_EQ(fast->shards().size(), slow->shards().size());
  for (int64_t i = 0; i < fast->size(); ++i) {
    const SampleRecord& a = fast->sample(i);
    const SampleRecord& b = slow->sample(i);
    EXPECT_EQ(a.key, b.key);
    EXPECT_EQ(a.stem, b.stem);
    EXPECT_EQ(a.group, b.group);
    EXPECT_EQ(a.shard, b.shard);
    EXPECT_EQ(a.class_vector, b.class_vector);
    ASSERT_EQ(a.members.size(), b.members.size());
    EXPECT_EQ(a.members[0].xxh3, b.members[0].xxh3);
    EXPECT_EQ(a.members[0].extension, b.members[0].extension);
    EXPECT_EQ(fast->shards()[static_cast<size_t>(a.shard)].file,
              slow->shards()[static_cast<size_t>(b.shard)].file);
  }
  const SampleReader reader(fast, ReaderKind::kPread);
  std::string buffer;
  EXPECT_EQ(reader.read(69, fast->sample(69).members[0], &buffer), read_file(folder_ / "in/a.jpg"));
}

TEST_F(ManyShards, DamagedIndexIsNamed) {
  const std::string good = read_file(directory_ / kSetIndexFile);
  for (size_t at = 0; at < good.size(); at += 211) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x81);
    try {
      parse_set_index(bad, "x");  // a digest guards it; alone it must not crash either
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr("x "));
    }
    EXPECT_THROW(parse_set_index(good.substr(0, at), "x"), DataError);
  }
  write_text(directory_ / kSetIndexFile, good + "x");
  EXPECT_THAT(message_of<DataError>([&] { Dataset::open(directory_); }), HasSubstr("samples.bin"));
  write_text(directory_ / kSetIndexFile, good);
  write_text(directory_ / "data-000007.samples.jsonl", "x");
  Dataset::open(directory_);
  EXPECT_THAT(message_of<DataError>([&] { Dataset::open_and_check_tables(directory_); }),
              HasSubstr("data-000007.samples.jsonl"));
}

TEST(DatasetFiles, TableOf65536SamplesIsReadInSeconds) {
  std::vector<SampleRecord> samples(1 << 16);
  for (size_t i = 0; i < samples.size(); ++i) {
    SampleRecord& sample = samples[i];
    sample.key = sample.stem = sample.group = fmt::format("TRAIN_{:05d}", i);
    sample.class_vector.assign(60, 0.0f);
    sample.members = {{"jpg", "", 512, 24000, i, 256, 256}, {"json", "", 25088, 140, i, 0, 0}};
  }
  const std::string text = sample_table_text(samples);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(parse_sample_table(text, "x").size(), samples.size());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  RecordProperty("seconds", std::to_string(seconds.count()));
  EXPECT_LT(seconds.count(), 20);  // about 0.5 s on an idle core; the bound is for loaded machines
}

}  // namespace
}  // namespace podium::data_shards
