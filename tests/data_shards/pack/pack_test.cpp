// Packing of the multi-label CSV: bytes against foreign tools, determinism, resumption, bad input.
#include "data_shards/pack/pack.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/text.h"
#include "data_shards/decode/inspect_image.h"
#include "data_shards/format/dataset.h"
#include "data_shards/format/tar_reader.h"
#include "data_shards/pack/pack_plan.h"
#include "tests/data_shards/pack_fixture.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kSmallShard = 24 << 10;  // bytes; a few of the test images

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void expect_equal_folders(const fs::path& a, const fs::path& b) {
  ASSERT_EQ(names_in(a), names_in(b));
  for (const std::string& name : names_in(a)) {
    EXPECT_EQ(read_file(a / name), read_file(b / name)) << name;
  }
}

// Fixture: tar by Python 3.11.7's tarfile, index by wds2idx of nvidia-dali-cuda120 2.4.0.
TEST(Pack, TarAndIndexEqualPythonAndDali) {
  const TestFolder folder;
  const fs::path fixture = fs::path(PODIUM_TEST_DATA) / "wds-000000.tar";
  const std::string bytes = read_file(fixture);
  std::map<std::string, std::string> images;
  std::string csv = "img_id,img_path,a,b,c\n";
  for (const std::string key : {"img_0", "img_1", "scene-2", "img_10"}) {
    std::string labels;
    for (const TarMember& member : list_tar(fixture)) {
      const std::string data =
          bytes.substr(static_cast<size_t>(member.offset), static_cast<size_t>(member.size));
      if (member.name == key + ".json") {
        const auto root = nlohmann::json::parse(data);
        for (int label : root.at("labels")) labels += "," + std::to_string(label);
      } else if (member.name.rfind(key + ".", 0) == 0) {
        write_text(folder / member.name, data);
        images[key] = member.name;
      }
    }
    csv += key + "," + images[key] + labels + "\n";
  }
  write_text(folder / "labels.csv", csv);
  PackOptions options;
  options.input = folder / "labels.csv";
  options.output = folder / "out";
  options.prefix = "wds";
  pack(options);
  EXPECT_EQ(read_file(folder / "out/wds-000000.tar"), bytes);
  EXPECT_EQ(read_file(folder / "out/wds-000000.idx"),
            read_file(fs::path(PODIUM_TEST_DATA) / "wds-000000.idx"));
}

TEST(Pack, SameBytesForOneAndFourThreads) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 20);
  options.max_shard_bytes = kSmallShard;
  pack(options);
  options.output = folder / "out4";
  options.num_threads = 4;
  const PackResult result = pack(options);
  EXPECT_EQ(result.num_samples, 20);
  EXPECT_GT(result.num_shards, 1);
  expect_equal_folders(folder / "out", folder / "out4");
  for (const auto& entry : fs::directory_iterator(folder / "out")) {
    if (entry.path().extension() == ".tar") {
      EXPECT_LE(fs::file_size(entry.path()), static_cast<uintmax_t>(kSmallShard));
    }
  }
}

TEST(Pack, ReadsLabelsAndKeepsImageBytes) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 4);
  pack(options);
  const auto dataset = Dataset::open(options.output);
  EXPECT_EQ(dataset->task(), Task::kMultiLabel);
  EXPECT_THAT(dataset->classes(), ElementsAre("water", "forest"));
  EXPECT_THAT(dataset->image_members(), ElementsAre("jpg"));
  EXPECT_TRUE(dataset->has_labels());
  const SampleRecord& sample = dataset->sample(1);
  EXPECT_EQ(sample.key, "img_1");
  EXPECT_EQ(sample.group, "img_1");
  EXPECT_THAT(sample.class_vector, ElementsAre(1.0f, kUnknownLabel));
  ASSERT_EQ(sample.members.size(), 2U);
  const MemberRecord& image = sample.members[0];
  EXPECT_EQ(image.width, 24);
  EXPECT_EQ(image.height, 16);
  const std::string shard = read_file(options.output / dataset->shard(0).file);
  const auto bytes_of = [&](const MemberRecord& member) {
    return shard.substr(static_cast<size_t>(member.offset), static_cast<size_t>(member.size));
  };
  EXPECT_EQ(bytes_of(image), read_file(folder / "in/train/img_1.jpg"));
  EXPECT_EQ(bytes_of(sample.members[1]), "{\"labels\":[1,-1]}");
}

TEST(Pack, UnknownLabelsMayBeWrittenInSeveralWays) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 1);
  write_text(options.input, "img_id,img_path,a,b,c,d,e\nx,train/img_0.jpg,-1, NaN ,,1.0,0\n");
  pack(options);
  EXPECT_THAT(Dataset::open(options.output)->sample(0).class_vector,
              ElementsAre(-1.0f, -1.0f, -1.0f, 1.0f, 0.0f));
}

TEST(Pack, CsvWithoutClassesIsATestSet) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 1);
  write_text(options.input, "img_id,img_path\nx,train/img_0.jpg\n");
  pack(options);
  const auto dataset = Dataset::open(options.output);
  EXPECT_FALSE(dataset->has_labels());
  EXPECT_EQ(dataset->num_classes(), 0);
  EXPECT_TRUE(dataset->sample(0).class_vector.empty());
}

TEST(Pack, KeysStayWhileTarNamesAreCleaned) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 2);
  write_text(options.input,
             "img_id,img_path,a\nimg 0.v2,train/img_0.jpg,1\n__x__/y,train/img_1.jpg,0\n");
  pack(options);
  const auto dataset = Dataset::open(options.output);
  EXPECT_EQ(dataset->sample(0).key, "img 0.v2");
  EXPECT_EQ(dataset->find("img 0.v2"), 0);
  const auto members = list_tar(options.output / "data-000000.tar");
  EXPECT_EQ(members[0].name, "img_0_v2.jpg");
  EXPECT_EQ(members[2].name, "k__x__/y.jpg");
}

TEST(Pack, CollidingTarNamesAreRefused) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 2);
  write_text(options.input, "img_id,img_path,a\nx.1,train/img_0.jpg,1\nx_1,train/img_1.jpg,0\n");
  EXPECT_THAT(message_of<DataError>([&] { pack(options); }),
              HasSubstr("labels.csv:3: tar name \"x_1\" of key \"x_1\" was used before by key "
                        "\"x.1\" (labels.csv:2)"));
}

// Each bad table names file, line and value, and leaves nothing behind.
TEST(Pack, BadTablesNameTheRow) {
  struct Case {
    std::string csv;
    std::string message;
  };
  const std::vector<Case> cases = {
      {"img_id,img_path,a\nx,train/img_0.jpg,2\n", "labels.csv:2: column \"a\": label \"2\""},
      {"img_id,img_path,a\nx,train/img_0.jpg\n", "labels.csv:2: 2 cells"},
      {"img_idx,img_path,a\nx,train/img_0.jpg,1\n", "img_id"},
      {"img_id,img_path,a\nx,train/img_0.jpg,1\nx,train/img_1.jpg,1\n",
       "labels.csv:3: key \"x\" of key \"x\" was used before"},
      {"img_id,img_path,a\nx,,1\n", "labels.csv:2: column \"img_path\" is empty"},
      {"img_id,img_path,a\n,train/img_0.jpg,1\n", "labels.csv:2: key \"\""},
      {"img_id,img_path,\nx,train/img_0.jpg,1\n", "class \"\" is empty"},
      {"img_id,img_path,a\n", "no sample to pack"},
  };
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 2);
  for (const Case& c : cases) {
    write_text(options.input, c.csv);
    EXPECT_THAT(message_of<DataError>([&] { pack(options); }), HasSubstr(c.message));
    EXPECT_FALSE(fs::exists(options.output));
    EXPECT_FALSE(fs::exists(folder / ".out.packing"));
  }
}

TEST(Pack, MissingImageNamesTheRow) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 3);
  fs::remove(folder / "in/train/img_1.jpg");
  const std::string error = message_of<IoError>([&] { pack(options); });
  EXPECT_THAT(error, HasSubstr("labels.csv:3: cannot read "));
  EXPECT_THAT(error, HasSubstr("train/img_1.jpg"));
  EXPECT_THAT(message_of<IoError>([&] {
                options.input = folder / "none.csv";
                pack(options);
              }),
              HasSubstr("none.csv"));
}

TEST(Pack, UnreadableImagesAreNamed) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 3);
  const fs::path image = folder / "in/train/img_2.jpg";
  const std::string good = read_file(image);
  for (const std::string& bad :
       {std::string(), std::string("GIF89a..."), good.substr(0, good.size() / 2),
        good.substr(0, good.size() - 2)}) {
    write_text(image, bad);
    EXPECT_THAT(message_of<DataError>([&] { pack(options); }),
                testing::AllOf(HasSubstr("labels.csv:4: "), HasSubstr("img_2.jpg: cannot decode")));
    EXPECT_FALSE(fs::exists(options.output));
  }
}

TEST(Pack, TruncatedAndDamagedPngIsRefused) {
  const TestFolder folder;
  write_image(folder / "a.png", 20, 30, 1);
  const std::string good = read_file(folder / "a.png");
  EXPECT_EQ(inspect_image(good).width, 30);
  EXPECT_THROW(inspect_image(good.substr(0, good.size() - 12)), DataError);
  EXPECT_THROW(inspect_image(good.substr(0, good.size() / 2)), DataError);
  std::string damaged = good;
  damaged[good.size() / 2] = static_cast<char>(damaged[good.size() / 2] ^ 0x10);
  EXPECT_THROW(inspect_image(damaged), DataError);
}

TEST(Pack, SkippingCountsAndListsBadSamples) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 5);
  options.skip_bad_samples = true;
  fs::remove(folder / "in/train/img_1.jpg");
  write_text(folder / "in/train/img_3.jpg", "no image");
  const PackResult result = pack(options);
  EXPECT_EQ(result.num_samples, 3);
  ASSERT_EQ(result.bad_samples.size(), 2U);
  EXPECT_EQ(result.bad_samples[0].place, "labels.csv:3");
  EXPECT_EQ(result.bad_samples[1].place, "labels.csv:5");
  EXPECT_THAT(result.bad_samples[1].reason, HasSubstr("img_3.jpg"));
  const auto dataset = Dataset::open(options.output);
  EXPECT_EQ(dataset->size(), 3);
  EXPECT_EQ(dataset->find("img_3"), -1);
}

TEST(Pack, BadSamplesTakeNoPlaceInAShard) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 12);
  options.max_shard_bytes = kSmallShard;
  options.skip_bad_samples = true;
  for (const int i : {0, 4, 5, 6, 7, 11}) {
    write_text(folder / fmt::format("in/train/img_{}.jpg", i), "no image");
  }
  EXPECT_EQ(pack(options).num_samples, 6);
  // The same as without the bad rows.
  std::string rows;
  for (const std::string& line : split(read_file(options.input), '\n')) {
    bool is_bad = line.empty();
    for (const int i : {0, 4, 5, 6, 7, 11}) is_bad |= line.rfind(fmt::format("img_{},", i), 0) == 0;
    if (!is_bad) rows += line + "\n";
  }
  write_text(options.input, rows);
  options.output = folder / "good";
  pack(options);
  const auto skipped = Dataset::open(folder / "out");
  const auto good = Dataset::open(folder / "good");
  ASSERT_EQ(skipped->num_shards(), good->num_shards());
  for (int64_t i = 0; i < good->num_shards(); ++i) {
    EXPECT_EQ(skipped->shard(i).xxh3_128, good->shard(i).xxh3_128);
  }
}

TEST(Pack, AllSamplesBadIsAnError) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 1);
  options.skip_bad_samples = true;
  write_text(folder / "in/train/img_0.jpg", "no image");
  EXPECT_THAT(message_of<DataError>([&] { pack(options); }),
              HasSubstr("all 1 samples are bad, the first is labels.csv:2"));
  EXPECT_FALSE(fs::exists(options.output));
}

TEST(Pack, OutputIsReplacedOnlyOnDemand) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 3);
  pack(options);
  EXPECT_THAT(message_of<IoError>([&] { pack(options); }), HasSubstr("--overwrite"));
  write_multilabel_input(folder, 2);
  options.is_overwrite = true;
  pack(options);
  EXPECT_EQ(Dataset::open(options.output)->size(), 2);
  EXPECT_THAT(names_in(folder / ""), ElementsAre("in", "out"));
  options.output = folder / "in";
  EXPECT_THAT(message_of<UsageError>([&] { pack(options); }), HasSubstr("no dataset.json"));
  EXPECT_TRUE(fs::exists(options.input));
}

TEST(Pack, KilledRunIsContinuedToTheSameBytes) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 30);
  options.max_shard_bytes = kSmallShard;
  options.output = folder / "whole";
  const int64_t num_shards = pack(options).num_shards;
  ASSERT_GE(num_shards, 4);
  options.output = folder / "out";
  const fs::path work = folder / ".out.packing";
  EXPECT_EXIT(
      {
        std::thread killer([&] {
          while (!fs::exists(work / "state/000001.json")) std::this_thread::yield();
          raise(SIGKILL);
        });
        pack(options);
        killer.join();
      },
      testing::KilledBySignal(SIGKILL), "");
  EXPECT_FALSE(fs::exists(options.output));
  ASSERT_TRUE(fs::exists(work / "state/000001.json"));
  // What is kept is not written again: its time stays.
  const auto old_time = fs::file_time_type::clock::now() - std::chrono::hours(1);
  fs::last_write_time(work / "data-000000.tar", old_time);
  pack(options);
  expect_equal_folders(folder / "whole", folder / "out");
  EXPECT_EQ(fs::last_write_time(folder / "out/data-000000.tar"), old_time);
  EXPECT_FALSE(fs::exists(work));
}

// A child packs and is killed after a random time; again and again until one gets through. The
// bytes are those of an undisturbed run, whatever was on disk when it died.
TEST(Pack, KilledAtRandomMomentsItEndsWithTheSameBytes) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 40);
  options.max_shard_bytes = kSmallShard;
  options.rewrite.max_side = 20;  // some work for every sample
  options.output = folder / "whole";
  const auto start = std::chrono::steady_clock::now();
  pack(options);
  const auto whole_time = std::chrono::steady_clock::now() - start;
  options.output = folder / "out";
  Rng rng(11, RandomPurpose::kTest);
  int num_kills = 0;
  for (int round = 0; round < 40 && !fs::exists(options.output); ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      try {
        pack(options);
      } catch (...) {
        _exit(1);
      }
      _exit(0);
    }
    // Later rounds get more time, so that the loop ends.
    const double share = rng.uniform(0.0, 0.6 + 0.1 * round);
    std::this_thread::sleep_for(whole_time * share);
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) ++num_kills;
    ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
  }
  if (!fs::exists(options.output)) pack(options);
  EXPECT_GT(num_kills, 0);
  expect_equal_folders(folder / "whole", folder / "out");
  EXPECT_FALSE(fs::exists(folder / ".out.packing"));
}

TEST(Pack, TwoRunsAtOnceAreRefused) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 1);
  write_text(folder / ".out.packing/lock", "");
  const int lock = open((folder / ".out.packing/lock").c_str(), O_RDWR);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  EXPECT_THAT(message_of<IoError>([&] { pack(options); }), HasSubstr("another process packs to"));
  close(lock);
  EXPECT_EQ(pack(options).num_samples, 1);
}

TEST(Pack, ChangedInputIsPackedAgain) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 30);
  options.max_shard_bytes = kSmallShard;
  const std::string last = read_file(folder / "in/train/img_29.jpg");
  write_text(folder / "in/train/img_29.jpg", "no image");
  message_of<DataError>([&] { pack(options); });  // the first shards are finished
  ASSERT_TRUE(fs::exists(folder / ".out.packing/state/000000.json"));
  write_text(folder / "in/train/img_29.jpg", last);
  write_image(folder / "in/train/img_0.jpg", 16, 24, 999);
  pack(options);
  options.output = folder / "fresh";
  pack(options);
  expect_equal_folders(folder / "out", folder / "fresh");
}

}  // namespace
}  // namespace podium::data_shards
