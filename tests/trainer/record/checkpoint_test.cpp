// Checkpoints: what is written comes back to the last bit, and whatever is damaged is noticed and
// left aside.
#include "trainer/record/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "tests/trainer/train_test_util.h"
#include "trainer/record/checkpoint_writer.h"
#include "trainer/step/run_position.h"
#include "trainer/step/run_state.h"

namespace podium::trainer {
namespace {

using ::testing::ElementsAre;
using testing::flip_last_byte;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

const RunIdentity kIdentity = {"recipe", "classes", "data", "folds", 3};

CheckpointTensors some_tensors(double value) {
  CheckpointTensors tensors;
  tensors.weights["fc.weight"] = torch::full({2, 3}, value);
  tensors.weights["bn.num_batches_tracked"] = torch::tensor(int64_t{5});
  tensors.optimizer["exp_avg.fc.weight"] = torch::full({2, 3}, 2 * value);
  tensors.ema["fc.weight"] = torch::full({2, 3}, 3 * value);
  return tensors;
}

void save_step(const fs::path& folder, int64_t step, int64_t keep = 9,
               const std::vector<int64_t>& multiples = {}) {
  RunPosition position;
  position.epoch = 1;
  position.step = 2;
  position.global_step = step;
  position.epoch_loss_sum = 0.1 + 0.2;
  position.metrics = {{"val_map", 1.0 / 3.0}, {"val_macro_f1", std::nan("")}};
  save_checkpoint(folder, kIdentity, 7, position, some_tensors(static_cast<double>(step)),
                  {keep, multiples});
}

TEST(Checkpoint, ComesBackToTheLastBit) {
  const TemporaryFolder folder;
  save_step(folder.path(), 123);
  const fs::path path = folder.path() / "step-000000123";
  verify_checkpoint(path);
  const Checkpoint read = load_checkpoint(path);
  EXPECT_EQ(read.position.epoch, 1);
  EXPECT_EQ(read.position.step, 2);
  EXPECT_EQ(read.position.global_step, 123);
  EXPECT_EQ(read.position.epoch_loss_sum, 0.1 + 0.2);
  EXPECT_EQ(read.position.metrics.at("val_map"), 1.0 / 3.0);
  EXPECT_TRUE(std::isnan(read.position.metrics.at("val_macro_f1")));
  EXPECT_EQ(read.identity.folds_digest, "folds");
  EXPECT_EQ(read.identity.fold, 3);
  const CheckpointTensors expected = some_tensors(123);
  EXPECT_EQ(digest_of(read.tensors.weights), digest_of(expected.weights));
  EXPECT_EQ(digest_of(read.tensors.optimizer), digest_of(expected.optimizer));
  EXPECT_EQ(digest_of(read.tensors.ema), digest_of(expected.ema));
}

TEST(Checkpoint, TheNewestIsFoundAndOnlyTheNewestAreKept) {
  const TemporaryFolder folder;
  EXPECT_EQ(find_checkpoint(folder.path()), std::nullopt);
  EXPECT_EQ(find_checkpoint(folder.path() / "none"), std::nullopt);
  for (const int64_t step : {9, 10, 100}) save_step(folder.path(), step, 2);
  EXPECT_THAT(testing::names_in(folder.path()), ElementsAre("step-000000010", "step-000000100"));
  EXPECT_EQ(find_checkpoint(folder.path())->filename(), "step-000000100");
}

TEST(Checkpoint, MultiplesStayForGood) {
  const TemporaryFolder folder;
  for (int64_t step = 1; step <= 13; ++step) save_step(folder.path(), step, 2, {4, 10});
  EXPECT_THAT(testing::names_in(folder.path()),
              ElementsAre("step-000000004", "step-000000008", "step-000000010", "step-000000012",
                          "step-000000013"));
}

// What the writer copies is what counts, whatever the run does to its tensors meanwhile.
TEST(CheckpointWriter, WritesTheStateOfItsStepWhileTrainingGoesOn) {
  const TemporaryFolder folder;
  {
    CheckpointWriter writer(folder.path(), kIdentity, 7, {9, {}});
    CheckpointTensors tensors = some_tensors(0);
    for (int64_t step = 1; step <= 5; ++step) {
      tensors.weights["fc.weight"].fill_(static_cast<double>(step));
      tensors.ema["fc.weight"] = torch::full({2, 3}, 3.0 * static_cast<double>(step)).t();
      RunPosition position;
      position.global_step = step;
      writer.start(position, tensors);
      tensors.weights["fc.weight"].fill_(-1);
    }
  }  // the last one is finished here
  for (int64_t step = 1; step <= 5; ++step) {
    const fs::path path = folder.path() / checkpoint_name(step);
    verify_checkpoint(path);
    const Checkpoint read = load_checkpoint(path);
    EXPECT_EQ(read.position.global_step, step);
    EXPECT_TRUE(torch::equal(read.tensors.weights.at("fc.weight"),
                             torch::full({2, 3}, static_cast<double>(step))));
    EXPECT_TRUE(torch::equal(read.tensors.ema.at("fc.weight"),
                             torch::full({3, 2}, 3.0 * static_cast<double>(step))));
  }
}

// One file of the newest checkpoint is damaged in some way; the one before must be taken.
class DamagedCheckpoint : public ::testing::TestWithParam<const char*> {};

TEST_P(DamagedCheckpoint, FlippedBitIsNamedAndTheOneBeforeIsTaken) {
  const TemporaryFolder folder;
  save_step(folder.path(), 1);
  save_step(folder.path(), 2);
  const fs::path file = folder.path() / "step-000000002" / GetParam();
  std::string bytes = read_file(file);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
  EXPECT_THROW(
      try { verify_checkpoint(file.parent_path()); } catch (const DataError& error) {
        EXPECT_THAT(error.what(), HasSubstr(file.string()));
        throw;
      },
      DataError);
  EXPECT_EQ(find_checkpoint(folder.path())->filename(), "step-000000001");
}

TEST_P(DamagedCheckpoint, TruncatedOrMissingFileIsNoticed) {
  const TemporaryFolder folder;
  save_step(folder.path(), 1);
  save_step(folder.path(), 2);
  const fs::path file = folder.path() / "step-000000002" / GetParam();
  fs::resize_file(file, fs::file_size(file) / 2);
  EXPECT_EQ(find_checkpoint(folder.path())->filename(), "step-000000001");
  fs::remove(file);
  EXPECT_EQ(find_checkpoint(folder.path())->filename(), "step-000000001");
}

INSTANTIATE_TEST_SUITE_P(
    Files, DamagedCheckpoint,
    ::testing::Values("weights.safetensors", "optimizer.safetensors", "ema.safetensors",
                      "state.json"),
    [](const auto& test) {
      return std::string(test.param).substr(0, std::string(test.param).find('.'));
    });

TEST(Checkpoint, WithoutDoneItDoesNotCount) {
  const TemporaryFolder folder;
  save_step(folder.path(), 1);
  save_step(folder.path(), 2);
  fs::remove(folder.path() / "step-000000002" / "DONE");
  EXPECT_EQ(find_checkpoint(folder.path())->filename(), "step-000000001");
}

TEST(Checkpoint, ADamagedOneOfTheSameStepIsReplaced) {
  const TemporaryFolder folder;
  save_step(folder.path(), 2);
  flip_last_byte(folder.path() / "step-000000002" / "weights.safetensors");
  EXPECT_EQ(find_checkpoint(folder.path()), std::nullopt);
  save_step(folder.path(), 2);
  EXPECT_EQ(find_checkpoint(folder.path())->filename(), "step-000000002");
}

TEST(Checkpoint, DigestSeesNamesTypesShapesAndValues) {
  const TensorMap base = {{"a", torch::zeros({2, 3})}};
  EXPECT_EQ(digest_of(base), digest_of({{"a", torch::zeros({2, 3})}}));
  EXPECT_NE(digest_of(base), digest_of({{"b", torch::zeros({2, 3})}}));
  EXPECT_NE(digest_of(base), digest_of({{"a", torch::zeros({3, 2})}}));
  EXPECT_NE(digest_of(base), digest_of({{"a", torch::zeros({2, 3}, torch::kInt32)}}));
  EXPECT_NE(digest_of(base), digest_of({{"a", torch::ones({2, 3})}}));
  // The same values in another memory layout.
  EXPECT_EQ(digest_of(base), digest_of({{"a", torch::zeros({3, 2}).t()}}));
}

}  // namespace
}  // namespace podium::trainer
