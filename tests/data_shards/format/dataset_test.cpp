// Opening: every way in which the files of a data set can disagree is named.
#include "data_shards/format/dataset.h"

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "data_shards/format/dataset_files.h"
#include "data_shards/format/sample_reader.h"
#include "data_shards/format/set_index.h"
#include "data_shards/format/set_index_writer.h"
#include "data_shards/format/shard_index.h"
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

// The same as it was packed before every set had a samples.bin: it opens from its tables.
class OldDatasetTest : public DatasetTest {
 protected:
  void SetUp() override {
    DatasetTest::SetUp();
    fs::remove(directory_ / kSetIndexFile);
    change_description([](ordered_json* root) { root->erase("index_xxh3_128"); });
  }
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
  EXPECT_THAT(message_of<IoError>([&] { Dataset::open(directory_); }),
              HasSubstr("data-000000.tar"));
}

TEST_F(OldDatasetTest, IndexThatDoesNotFitNamesTheLine) {
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
  EXPECT_THAT(message_of<IoError>([&] { Dataset::open(directory_); }),
              HasSubstr("data-000000.idx"));
}

TEST_F(OldDatasetTest, FlippedBitInATableIsNoticed) {
  poke(directory_ / "data-000000.samples.jsonl", 9, 'I');
  EXPECT_THAT(open_error(), HasSubstr("data-000000.samples.jsonl: XXH3-128 is "));
}

TEST_F(OldDatasetTest, DuplicateKeyIsNamed) {
  auto samples = table();
  samples[4].key = samples[2].key;
  replace_table(sample_table_text(samples));
  EXPECT_THAT(open_error(), HasSubstr("key \"img_2\" belongs to samples 2 and 4"));
}

TEST_F(OldDatasetTest, WrongNumberOfLabelsIsNamed) {
  auto samples = table();
  samples[3].class_vector.pop_back();
  replace_table(sample_table_text(samples));
  EXPECT_THAT(open_error(), HasSubstr("samples.jsonl:4: sample \"img_3\" needs 2 labels, found 1"));
}

TEST_F(OldDatasetTest, MemberOutsideTheShardIsNamed) {
  auto samples = table();
  samples[5].members[0].size = 1 << 20;
  replace_table(sample_table_text(samples));
  write_text(directory_ / "data-000000.idx", shard_index_text(samples));
  EXPECT_THAT(open_error(), AllOf(HasSubstr("samples.jsonl:6: sample \"img_5\": member jpg"),
                                  HasSubstr("1048576 bytes")));
}

TEST_F(OldDatasetTest, DamagedTableLinesAreNamed) {
  const std::string good = sample_table_text(table());
  replace_table(good.substr(0, good.size() - 1));
  EXPECT_THAT(open_error(), HasSubstr("samples.jsonl:6: the last line is cut"));
  replace_table("{\"key\":\"x\"}\n");
  EXPECT_THAT(open_error(), AllOf(HasSubstr("samples.jsonl:1: "), HasSubstr("members")));
  replace_table("nonsense\n");
  EXPECT_THAT(open_error(), HasSubstr("samples.jsonl:1: "));
}

TEST_F(OldDatasetTest, NumberOfATablesSamplesIsChecked) {
  change_description([](ordered_json* root) { (*root)["shards"][0]["num_samples"] = 7; });
  EXPECT_THAT(open_error(), HasSubstr("6 samples, but dataset.json says 7"));
}

TEST_F(DatasetTest, DescriptionIsCheckedAgainstTheShards) {
  const std::string good = read_file(directory_ / kDatasetFile);
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

void expect_equal(const SampleRecord& a, const SampleRecord& b) {
  EXPECT_EQ(a.key, b.key);
  EXPECT_EQ(a.stem, b.stem);
  EXPECT_EQ(a.group, b.group);
  EXPECT_EQ(a.shard, b.shard);
  EXPECT_EQ(a.class_vector, b.class_vector);
  EXPECT_EQ(a.class_index, b.class_index);
  EXPECT_EQ(a.mask_pixels, b.mask_pixels);
  ASSERT_EQ(a.members.size(), b.members.size());
  for (size_t i = 0; i < a.members.size(); ++i) {
    EXPECT_EQ(a.members[i].extension, b.members[i].extension);
    EXPECT_EQ(a.members[i].name, b.members[i].name);
    EXPECT_EQ(a.members[i].offset, b.members[i].offset);
    EXPECT_EQ(a.members[i].size, b.members[i].size);
    EXPECT_EQ(a.members[i].xxh3, b.members[i].xxh3);
    EXPECT_EQ(a.members[i].width, b.members[i].width);
    EXPECT_EQ(a.members[i].height, b.members[i].height);
  }
}

// Sets of several shards, with samples.bin and without it.
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
  // Every sample as the tables beside the shards have it.
  std::vector<SampleRecord> all_tables() {
    std::vector<SampleRecord> all;
    for (int i = 0; i < kNumShards; ++i) {
      const fs::path file = directory_ / fmt::format("data-{:06d}.samples.jsonl", i);
      for (SampleRecord& sample : parse_sample_table(read_file(file), "table")) {
        sample.shard = i;
        all.push_back(std::move(sample));
      }
    }
    return all;
  }
  void expect_all(const Dataset& dataset) {
    const std::vector<SampleRecord> expected = all_tables();
    ASSERT_EQ(dataset.size(), std::ssize(expected));
    ASSERT_EQ(dataset.num_shards(), kNumShards);
    for (int64_t i = 0; i < dataset.size(); ++i) {
      const SampleRecord& sample = expected[static_cast<size_t>(i)];
      expect_equal(dataset.sample(i), sample);
      EXPECT_EQ(dataset.key(i), sample.key);
      EXPECT_EQ(dataset.shard_of(i), sample.shard);
      EXPECT_EQ(dataset.find(sample.key), i);
      EXPECT_EQ(dataset.shard(i).first_sample, i);
    }
  }
  void change_description(const std::function<void(ordered_json*)>& change) {
    ordered_json root = ordered_json::parse(read_file(directory_ / kDatasetFile));
    change(&root);
    write_text(directory_ / kDatasetFile, root.dump(1));
  }
  static constexpr int kNumShards = 20;
  TestFolder folder_;
  fs::path directory_;
};

TEST_F(ManyShards, IndexSaysWhatTheTablesSay) {
  const auto dataset = Dataset::open(directory_);
  expect_all(*dataset);
  expect_all(*Dataset::open_and_check_tables(directory_));
  const SampleReader reader(dataset, ReaderKind::kPread);
  std::string buffer;
  EXPECT_EQ(reader.read(19, dataset->sample(19).members[0], &buffer),
            read_file(folder_ / "in/a.jpg"));
}

TEST_F(ManyShards, SetsOfBeforeOpenFromTheirTables) {
  const std::string index = read_file(directory_ / kSetIndexFile);
  const std::string old = "podidx1\n, and what that version held";
  write_text(directory_ / kSetIndexFile, old);
  change_description([&](ordered_json* root) { (*root)["index_xxh3_128"] = xxh3_128_hex(old); });
  expect_all(*Dataset::open(directory_));
  expect_all(*Dataset::open_and_check_tables(directory_));
  fs::remove(directory_ / kSetIndexFile);
  change_description([](ordered_json* root) { root->erase("index_xxh3_128"); });
  expect_all(*Dataset::open(directory_));
}

TEST_F(ManyShards, EveryFlippedByteOfTheIndexIsNoticed) {
  const fs::path file = directory_ / kSetIndexFile;
  const std::string good = read_file(file);
  for (size_t at = 0; at < good.size(); at += 97) {
    poke(file, static_cast<int64_t>(at), static_cast<char>(good[at] ^ 0x10));
    EXPECT_THAT(message_of<DataError>([&] { Dataset::open(directory_); }),
                HasSubstr("samples.bin: XXH3-128 is "))
        << at;
    poke(file, static_cast<int64_t>(at), good[at]);
  }
  write_text(file, good + "x");
  EXPECT_THAT(message_of<DataError>([&] { Dataset::open(directory_); }),
              HasSubstr("samples.bin: XXH3-128 is "));
  fs::remove(file);
  EXPECT_THAT(message_of<IoError>([&] { Dataset::open(directory_); }), HasSubstr("samples.bin"));
}

TEST_F(ManyShards, IndexThatDiffersFromTheTablesIsNoticedByTheCheck) {
  std::string index = read_file(directory_ / kSetIndexFile);
  const size_t at = index.find("img_17");
  index[at] = 'I';
  write_text(directory_ / kSetIndexFile, index);
  change_description([&](ordered_json* root) { (*root)["index_xxh3_128"] = xxh3_128_hex(index); });
  EXPECT_EQ(Dataset::open(directory_)->key(17), "Img_17");
  EXPECT_THAT(message_of<DataError>([&] { Dataset::open_and_check_tables(directory_); }),
              AllOf(HasSubstr("samples.bin (byte "), HasSubstr("differs from the sample tables")));
}

// An index that somebody else wrote, with the right digest.
TEST_F(ManyShards, SampleThatDoesNotFitTheSetIsRefusedWhenItIsRead) {
  std::vector<SampleRecord> samples = all_tables();
  samples[3].class_vector.assign(1000, 1.0f);
  samples[5].members[0].size = 1 << 20;
  const fs::path file = directory_ / kSetIndexFile;
  const auto description = parse_description(read_file(directory_ / kDatasetFile), "x");
  const auto sink = make_file_sink(file);
  SetIndexWriter writer(sink.get(), "set");
  for (size_t i = 0; i < samples.size(); ++i) writer.add(description.shards[i], {samples[i]});
  writer.finish();
  change_description(
      [&](ordered_json* root) { (*root)["index_xxh3_128"] = xxh3_128_hex(read_file(file)); });
  const auto dataset = Dataset::open(directory_);
  EXPECT_EQ(dataset->sample(4).key, "img_4");
  EXPECT_THAT(message_of<DataError>([&] { dataset->sample(3); }),
              HasSubstr("samples.bin: sample \"img_3\" needs 1 labels, found 1000"));
  EXPECT_THAT(
      message_of<DataError>([&] { dataset->sample(5); }),
      AllOf(HasSubstr("samples.bin: sample \"img_5\": member jpg"), HasSubstr("1048576 bytes")));
}

// A table is not read when a set is opened; the check reads it.
TEST_F(ManyShards, DamagedTableIsNoticedByTheCheck) {
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
