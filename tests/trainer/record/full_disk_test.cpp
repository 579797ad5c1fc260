// A disk that fills up while a run saves: neither the run nor the last good checkpoint is lost.
// Needs root for a small file system of its own; skipped by name without.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <chrono>
#include <thread>

#include "tests/trainer/train_test_util.h"
#include "trainer/record/checkpoint_writer.h"
#include "trainer/record/run_directory.h"

namespace podium::trainer {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace testing;  // NOLINT: the shapes

// A file system in memory at `path`.
class SmallDisk {
 public:
  SmallDisk(const fs::path& path, int64_t num_bytes) : path_(path) {
    fs::create_directories(path);
    const std::string options = fmt::format("size={}", num_bytes);
    is_mounted_ = ::mount("none", path.c_str(), "tmpfs", 0, options.c_str()) == 0;
  }
  ~SmallDisk() {
    if (is_mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool is_mounted() const { return is_mounted_; }

 private:
  fs::path path_;
  bool is_mounted_ = false;
};

constexpr const char* kSkipped = "skipped: mounting a small tmpfs needs root";

RunPosition at_step(int64_t step) {
  RunPosition position;
  position.global_step = step;
  return position;
}

TEST(FullDisk, EarlierCheckpointStaysAndTheNextTryCounts) {
  const TemporaryFolder folder;
  const SmallDisk disk(folder.path() / "disk", 2 << 20);
  if (!disk.is_mounted()) GTEST_SKIP() << kSkipped;
  const fs::path checkpoints = folder.path() / "disk" / "checkpoints";
  RunState state;
  state[kNetworkGroup]["w"] = torch::full({100'000}, 0.5);  // 400 kB
  CheckpointWriter writer(checkpoints, {}, 7, {1, {}});
  writer.write(at_step(1), state);
  const fs::path ballast = folder.path() / "disk" / "ballast";
  std::ofstream(ballast) << std::string(1'400'000, 'x');

  EXPECT_THROW(writer.write(at_step(2), state), IoError);
  ::testing::internal::CaptureStderr();
  writer.start(at_step(2), state);
  while (writer.is_busy()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("the checkpoint of step 2 was not written"));
  EXPECT_TRUE(writer.take_failure());
  EXPECT_FALSE(writer.take_failure());
  EXPECT_THAT(names_in(checkpoints), ElementsAre("step-000000001"));
  load_checkpoint(checkpoints / "step-000000001");

  fs::remove(ballast);
  writer.start(at_step(3), state);
  writer.write(at_step(3), state);  // waits for the one in flight, which is the same
  EXPECT_FALSE(writer.take_failure());
  EXPECT_THAT(names_in(checkpoints), ElementsAre("step-000000003"));
  load_checkpoint(checkpoints / "step-000000003");
}

// ResNet-18 with a checkpoint after each step, in the folder "elsewhere".
TrainOptions resnet_options(const fs::path& folder, int num_epochs) {
  const fs::path data = pack_multi_label(folder, 30);
  make_fold_file(data, 3);
  TrainOptions options =
      quick_options(folder, data,
                    quick_recipe(fmt::format("train: {{epochs: {}, micro_batch_size: 8}}\n"
                                             "checkpoint: {{every_steps: 1}}\n",
                                             num_epochs)),
                    "elsewhere");
  options.overrides = {"model.name=resnet18"};
  return options;
}

// Room for one checkpoint of ResNet-18 (134 MB with Adam's state) and the weights, not for two.
TEST(FullDisk, TheRunGoesOnToTheSameWeights) {
  const TemporaryFolder folder;
  const SmallDisk disk(folder.path() / "disk", int64_t{215} << 20);
  if (!disk.is_mounted()) GTEST_SKIP() << kSkipped;
  TrainOptions options = resnet_options(folder.path(), 3);
  options.trial_name = "trial";
  train(options);
  const std::string weights = read_file(options.run_dir / "weights.safetensors");

  options.run_dir = folder.path() / "disk" / "run";
  ::testing::internal::CaptureStderr();
  const TrainResult result = train(options);
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(result.steps, 3);
  EXPECT_THAT(log, HasSubstr("the checkpoint of step 2 was not written"));
  EXPECT_THAT(log, HasSubstr("the checkpoint of the last step was not written"));
  EXPECT_EQ(read_file(options.run_dir / "weights.safetensors"), weights);
  EXPECT_EQ(read_lines(options.run_dir / "metrics.jsonl").size(), 6u);
  EXPECT_EQ(find_checkpoint(options.run_dir / "checkpoints")->path.filename(), "step-000000001");
}

// A stop cannot wait for room: the run ends with the file's name and goes on from the checkpoint
// before.
TEST(FullDisk, AStopBySignalKeepsTheLastGoodCheckpoint) {
  const TemporaryFolder folder;
  const SmallDisk disk(folder.path() / "disk", int64_t{160} << 20);
  if (!disk.is_mounted()) GTEST_SKIP() << kSkipped;
  TrainOptions options = resnet_options(folder.path(), 30);
  options.run_dir = folder.path() / "disk" / "run";
  std::thread sender = send_when_training(options.run_dir, SIGUSR1);
  try {
    train(options);
    ADD_FAILURE() << "not interrupted";
  } catch (const IoError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("stopped by signal 10 after step"),
                                    HasSubstr("safetensors"), HasSubstr("No space left")));
  }
  sender.join();
  const auto checkpoint = find_checkpoint(options.run_dir / "checkpoints");
  ASSERT_TRUE(checkpoint.has_value());
  EXPECT_EQ(checkpoint->path.filename(), "step-000000001");
}

}  // namespace
}  // namespace podium::trainer
