// Interrupted runs: they go on at the exact step with the same bytes, or refuse with a reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/safetensors_file.h"
#include "tests/trainer/train_test_util.h"
#include "trainer/record/metrics_log.h"
#include "trainer/record/run_directory.h"

namespace podium::trainer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace testing;  // NOLINT: the shapes

template <typename ErrorType>
std::string message_of(const TrainOptions& options) {
  try {
    train(options);
  } catch (const ErrorType& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("another error: ") + error.what();
  }
  return "no error";
}

class Resume : public ::testing::Test {
 protected:
  void SetUp() override {
    data_ = pack_multi_label(folder_.path(), 48);
    make_fold_file(data_, 3);
    options_ =
        quick_options(folder_.path(), data_,
                      quick_recipe("optimizer: {name: adam, lr: 0.05}\n"
                                   "train: {epochs: 3, micro_batch_size: 8, ema_decay: 0.9}\n"
                                   "checkpoint: {every_steps: 1, keep: 100}\n"));
  }

  // Makes the finished run look as if it had been killed right after the checkpoint of `step`; with
  // `is_torn` it had gone on for a while and was writing a line.
  void kill_after(int64_t step, bool is_torn = true) const {
    const RunDirectory directory{options_.run_dir};
    for (const auto& name : names_in(directory.checkpoints())) {
      if (name > fmt::format("step-{:09}", step)) fs::remove_all(directory.checkpoints() / name);
    }
    for (const char* name : {"DONE", "result.json", "weights.safetensors"})
      fs::remove(directory.root / name);
    fs::remove_all(directory.oof_predictions());
    if (is_torn) std::ofstream(directory.metrics(), std::ios::app) << "{\"kind\":\"st";
  }

  // Lines without what depends on the clock.
  std::vector<nlohmann::json> timeless_lines() const {
    std::vector<nlohmann::json> lines = read_lines(options_.run_dir / "metrics.jsonl");
    for (auto& line : lines) {
      for (const char* key : {"images_per_s", "data_wait_s", "data_wait_fraction"}) line.erase(key);
    }
    return lines;
  }

  TemporaryFolder folder_;
  fs::path data_;
  TrainOptions options_;
};

// An epoch has two steps: 1, 3 and 5 lie in the middle of one, 6 is the end of training.
TEST_F(Resume, AnyStepLeadsToTheSameBytesAndLines) {
  const TrainResult undisturbed = train(options_);
  const std::string weights = read_file(options_.run_dir / "weights.safetensors");
  const auto lines = timeless_lines();
  const auto predictions = read_file(undisturbed.oof_predictions / "predictions.safetensors");
  for (const int64_t step : {5, 3, 2, 1, 6}) {
    kill_after(step);
    const TrainResult resumed = train(options_);
    EXPECT_EQ(resumed.steps, 6);
    EXPECT_EQ(resumed.metrics, undisturbed.metrics) << "from step " << step;
    EXPECT_EQ(read_file(options_.run_dir / "weights.safetensors"), weights) << "from step " << step;
    EXPECT_EQ(read_file(resumed.oof_predictions / "predictions.safetensors"), predictions);
    EXPECT_EQ(timeless_lines(), lines) << "from step " << step;
  }
  const auto manifest = nlohmann::json::parse(read_file(options_.run_dir / "manifest.json"));
  EXPECT_EQ(manifest["starts"].size(), 6u);
  EXPECT_EQ(manifest["starts"][1]["global_step"], 5);
  EXPECT_EQ(manifest["epochs"].size(), 3u);
}

TEST_F(Resume, BatchNormsAndDropoutGoOnTheSame) {
  options_.overrides = {"model.name=resnet18", "model.drop_rate=0.2", "optimizer.lr=0.001",
                        "train.epochs=2"};
  train(options_);
  const std::string weights = read_file(options_.run_dir / "weights.safetensors");
  kill_after(3);
  train(options_);
  EXPECT_EQ(read_file(options_.run_dir / "weights.safetensors"), weights);
}

TEST_F(Resume, ADamagedNewestCheckpointIsLeftAside) {
  train(options_);
  const std::string weights = read_file(options_.run_dir / "weights.safetensors");
  kill_after(4);
  flip_last_byte(options_.run_dir / "checkpoints" / "step-000000004" / "optimizer.safetensors");
  ::testing::internal::CaptureStderr();
  train(options_);
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(
      log, AllOf(HasSubstr("checkpoint step-000000004 is damaged"), HasSubstr("step-000000003")));
  EXPECT_EQ(read_file(options_.run_dir / "weights.safetensors"), weights);
}

TEST_F(Resume, CheckpointsOfEpochsStay) {
  options_.overrides = {"checkpoint.every_steps=0", "checkpoint.keep=1",
                        "checkpoint.keep_every_epochs=1", "checkpoint.keep_every_steps=3"};
  train(options_);
  EXPECT_THAT(names_in(options_.run_dir / "checkpoints"),
              ::testing::ElementsAre("step-000000002", "step-000000003", "step-000000004",
                                     "step-000000006"));
}

TEST_F(Resume, FrozenNormsKeepTheirStatisticsAndPreciseOnesMeasureThem) {
  options_.overrides = {"model.name=resnet18", "model.batch_norm=frozen", "optimizer.lr=0.001",
                        "train.epochs=1"};
  train(options_);
  const auto running_mean = [&] {
    const SafetensorsFile file(options_.run_dir / "weights.safetensors");
    return std::string(file.arrays().at("bn1.running_mean").data);
  };
  EXPECT_EQ(running_mean(), std::string(64 * sizeof(float), '\0')) << "fresh models start at 0";

  // Averaged weights get statistics of their own, and a resumed run measures the same.
  options_.run_dir = folder_.path() / "precise";
  options_.overrides = {"model.name=resnet18", "model.batch_norm=precise",
                        "model.batch_norm_samples=20", "optimizer.lr=0.001", "train.epochs=2"};
  train(options_);
  const std::string weights = read_file(options_.run_dir / "weights.safetensors");
  const std::string precise = running_mean();
  kill_after(3);
  train(options_);
  EXPECT_EQ(read_file(options_.run_dir / "weights.safetensors"), weights);

  options_.run_dir = folder_.path() / "ghost";
  options_.overrides[1] = "model.batch_norm=ghost";
  train(options_);
  EXPECT_NE(running_mean(), precise);
}

TEST_F(Resume, LossScaleGoesOn) {
  options_.overrides = {"train.precision=fp16"};
  train(options_);
  const std::string weights = read_file(options_.run_dir / "weights.safetensors");
  const SafetensorsFile state(options_.run_dir / "checkpoints" / "step-000000006" /
                              "scaler.safetensors");
  EXPECT_TRUE(state.arrays().contains("loss_scale.growth_tracker"));
  kill_after(3);
  train(options_);
  EXPECT_EQ(read_file(options_.run_dir / "weights.safetensors"), weights);
}

TEST_F(Resume, WithoutACheckpointItBeginsAnew) {
  train(options_);
  const std::string weights = read_file(options_.run_dir / "weights.safetensors");
  kill_after(0);
  train(options_);
  EXPECT_EQ(read_file(options_.run_dir / "weights.safetensors"), weights);
}

TEST_F(Resume, FromANamedCheckpoint) {
  train(options_);
  const std::string weights = read_file(options_.run_dir / "weights.safetensors");
  const fs::path checkpoint = options_.run_dir / "checkpoints" / "step-000000003";
  options_.run_dir = folder_.path() / "second";
  options_.resume = checkpoint.string();
  train(options_);
  EXPECT_EQ(read_file(options_.run_dir / "weights.safetensors"), weights);

  options_.run_dir = folder_.path() / "third";
  options_.overrides = {"seed=8"};
  EXPECT_THAT(message_of<RecipeError>(options_), HasSubstr("made with another recipe"));
  options_.resume = (checkpoint / "nothing").string();
  EXPECT_THAT(message_of<UsageError>(options_), HasSubstr("no such checkpoint directory"));
}

TEST_F(Resume, AFinishedRunReturnsItsResult) {
  const TrainResult first = train(options_);
  const auto written = fs::last_write_time(options_.run_dir / "weights.safetensors");
  const TrainResult second = train(options_);
  EXPECT_EQ(second.metrics, first.metrics);
  EXPECT_EQ(second.steps, first.steps);
  EXPECT_EQ(second.oof_predictions, first.oof_predictions);
  EXPECT_EQ(fs::last_write_time(options_.run_dir / "weights.safetensors"), written);
}

TEST_F(Resume, AChangedRecipeIsRefusedWithTheKeys) {
  train(options_);
  kill_after(3);
  options_.overrides = {"optimizer.lr=0.01", "seed=9"};
  EXPECT_THAT(message_of<RecipeError>(options_),
              AllOf(HasSubstr(options_.run_dir.string()), HasSubstr("optimizer.lr (0.05 -> 0.01)"),
                    HasSubstr("seed (7 -> 9)"), HasSubstr("another --run_dir"),
                    ::testing::Not(HasSubstr("train.epochs"))));
}

TEST_F(Resume, OtherDataOrAnotherFoldIsRefused) {
  train(options_);
  kill_after(3);
  TrainOptions other = options_;
  other.fold = 1;
  EXPECT_THAT(message_of<UsageError>(other), HasSubstr("started with --fold=0, now 1"));
  const TemporaryFolder elsewhere;
  other = options_;
  other.data = pack_multi_label(elsewhere.path(), 48, 5);
  other.folds = make_fold_file(other.data, 3);
  EXPECT_THAT(message_of<DataError>(other), HasSubstr("started with other data"));
}

TEST_F(Resume, NeverRefusesAFolderThatHoldsARun) {
  options_.resume = "never";
  train(options_);
  EXPECT_THAT(message_of<UsageError>(options_),
              AllOf(HasSubstr("already holds a run"), HasSubstr("--resume=auto")));
}

TEST_F(Resume, ALockedFolderIsRefusedWithItsHolder) {
  fs::create_directories(options_.run_dir);
  {
    const RunLock lock(RunDirectory{options_.run_dir});
    EXPECT_THAT(
        message_of<UsageError>(options_),
        AllOf(HasSubstr("is in use by host"), HasSubstr(fmt::format("pid {}", ::getpid()))));
  }
  EXPECT_EQ(train(options_).steps, 6);
}

TEST_F(Resume, SignalsWriteACheckpointAndEndWith75) {
  options_.overrides = {"checkpoint.every_steps=0", "train.epochs=300", "eval.every_epochs=100"};
  train(options_);
  const std::string weights = read_file(options_.run_dir / "weights.safetensors");
  options_.run_dir = folder_.path() / "interrupted";
  for (const int signal : {SIGUSR1, SIGTERM, SIGUSR2}) {
    std::thread sender = send_when_training(options_.run_dir, signal);
    try {
      train(options_);
      ADD_FAILURE() << "not interrupted";
    } catch (const InterruptedError& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::kInterrupted);
      EXPECT_THAT(error.what(), HasSubstr(fmt::format("stopped by signal {} after step", signal)));
    }
    sender.join();
    EXPECT_FALSE(is_done(options_.run_dir));
    EXPECT_FALSE(names_in(options_.run_dir / "checkpoints").empty());
  }
  train(options_);
  EXPECT_EQ(read_file(options_.run_dir / "weights.safetensors"), weights);
}

TEST(MetricsLog, TruncationKeepsWhatTheCheckpointKnows) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "metrics.jsonl";
  write_file_atomic(
      file,
      "{\"kind\":\"step\",\"epoch\":1,\"step\":1}\n{\"kind\":\"step\",\"epoch\":1,\"step\":2}\n"
      "{\"kind\":\"epoch\",\"epoch\":1,\"step\":2}\n{\"kind\":\"step\",\"epoch\":2,\"step\":3}\n{"
      "\"kind\":\"st");
  truncate_metrics(file, 1, 2);
  EXPECT_EQ(read_lines(file).size(), 3u);
  truncate_metrics(file, 0, 2);  // the epoch's evaluation has not been reached
  EXPECT_EQ(read_lines(file).size(), 2u);
  truncate_metrics(file, 0, 0);
  EXPECT_EQ(read_file(file), "");
}

}  // namespace
}  // namespace podium::trainer
