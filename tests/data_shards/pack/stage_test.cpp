// Copies of a set on the node's disk.
#include "data_shards/pack/stage.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "data_shards/format/dataset.h"
#include "data_shards/format/sample_reader.h"
#include "tests/data_shards/pack_fixture.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

fs::path make_set(const TestFolder& folder) {
  PackOptions options = write_multilabel_input(folder, 12);
  options.max_shard_bytes = 24 << 10;
  pack(options);
  return options.output;
}

void expect_whole(const fs::path& data, const fs::path& staged) {
  const auto original = Dataset::open(data);
  const auto copy = Dataset::open(staged);
  EXPECT_EQ(copy->digest(), original->digest());
  for (int64_t i = 0; i < original->num_shards(); ++i) {
    const ShardInfo shard = original->shard(i);
    EXPECT_EQ(read_file(staged / shard.file), read_file(data / shard.file));
  }
}

TEST(Stage, CopyIsTheSameSetAndIsMadeOnce) {
  const TestFolder folder;
  const fs::path data = make_set(folder);
  const fs::path staged = stage_dataset(data, folder / "disk");
  expect_whole(data, staged);
  const auto time = fs::last_write_time(staged / "data-000000.tar");
  EXPECT_EQ(stage_dataset(data, folder / "disk"), staged);
  EXPECT_EQ(fs::last_write_time(staged / "data-000000.tar"), time);
}

TEST(Stage, WorkersShareTheCopies) {
  const TestFolder folder;
  const fs::path data = make_set(folder);
  std::vector<std::thread> workers;
  std::vector<fs::path> staged(4);
  for (auto& path : staged) {
    workers.emplace_back([&] { path = stage_dataset(data, folder / "disk"); });
  }
  for (std::thread& worker : workers) worker.join();
  for (const fs::path& path : staged) EXPECT_EQ(path, staged[0]);
  expect_whole(data, staged[0]);
}

// A worker dies amid its copy and leaves a part behind; the next one makes it again.
TEST(Stage, InterruptedCopyIsMadeAgain) {
  const TestFolder folder;
  const fs::path data = make_set(folder);
  const fs::path staged = folder / "disk" / Dataset::open(data)->digest();
  write_text(staged / "data-000000.tar.part", "half of a shard");
  EXPECT_EQ(stage_dataset(data, folder / "disk"), staged);
  expect_whole(data, staged);
  EXPECT_FALSE(fs::exists(staged / "data-000000.tar.part"));
}

TEST(Stage, KilledWorkersLeaveNoHalfSet) {
  const TestFolder folder;
  const fs::path data = make_set(folder);
  Rng rng(3, RandomPurpose::kTest);
  for (int round = 0; round < 8; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      stage_dataset(data, folder / "disk");
      _exit(0);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(rng.below(20'000)));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const fs::path staged = folder / "disk" / Dataset::open(data)->digest();
    if (is_done(staged)) expect_whole(data, staged);
  }
  expect_whole(data, stage_dataset(data, folder / "disk"));
}

TEST(Stage, DamagedSourceIsNamedAndNotKept) {
  const TestFolder folder;
  const fs::path data = make_set(folder);
  poke(data / "data-000001.tar", 600, 'X');
  EXPECT_THAT(message_of<DataError>([&] { stage_dataset(data, folder / "disk"); }),
              AllOf(HasSubstr("out/data-000001.tar"), HasSubstr("dataset.json says")));
  const fs::path staged = folder / "disk" / Dataset::open(data)->digest();
  EXPECT_FALSE(is_done(staged));
  EXPECT_FALSE(fs::exists(staged / "data-000001.tar"));
  EXPECT_THROW(stage_dataset(folder / "none", folder / "disk"), IoError);
}

}  // namespace
}  // namespace podium::data_shards
