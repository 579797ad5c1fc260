// Checkpoints: what is written comes back to the last bit, and whatever is damaged is noticed and
// left aside.
#include "trainer/record/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "models/weights/weights.h"
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

RunState some_state(double value) {
  RunState state;
  state[kNetworkGroup]["fc.weight"] = torch::full({2, 3}, value);
  state[kNetworkGroup]["bn.num_batches_tracked"] = torch::tensor(int64_t{5});
  state[kOptimizerGroup]["exp_avg.fc.weight"] = torch::full({2, 3}, 2 * value);
  state[kEmaGroup]["fc.weight"] = torch::full({2, 3}, 3 * value);
  return state;
}

void save_step(const fs::path& folder, int64_t step, int64_t keep = 9,
               const std::vector<int64_t>& multiples = {}) {
  RunPosition position;
  position.epoch = 1;
  position.step = 2;
  position.global_step = step;
  position.epoch_loss_sum = 0.1 + 0.2;
  position.metrics = {{"val_map", 1.0 / 3.0}, {"val_macro_f1", std::nan("")}};
  save_checkpoint(folder, kIdentity, 7, position, some_state(static_cast<double>(step)),
                  {keep, multiples});
}

void expect_equal(const RunState& found, const RunState& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [group, tensors] : expected) {
    ASSERT_TRUE(found.contains(group)) << group;
    EXPECT_EQ(digest_of(found.at(group)), digest_of(tensors)) << group;
  }
}

TEST(Checkpoint, ComesBackToTheLastBit) {
  const TemporaryFolder folder;
  save_step(folder.path(), 123);
  const fs::path path = folder.path() / "step-000000123";
  const Checkpoint read = load_checkpoint(path);
  EXPECT_EQ(read.path, path);
  EXPECT_EQ(read.position.epoch, 1);
  EXPECT_EQ(read.position.step, 2);
  EXPECT_EQ(read.position.global_step, 123);
  EXPECT_EQ(read.position.epoch_loss_sum, 0.1 + 0.2);
  EXPECT_EQ(read.position.metrics.at("val_map"), 1.0 / 3.0);
  EXPECT_TRUE(std::isnan(read.position.metrics.at("val_macro_f1")));
  EXPECT_EQ(read.identity.folds_digest, "folds");
  EXPECT_EQ(read.identity.fold, 3);
  expect_equal(read.state, some_state(123));
}

TEST(Checkpoint, LargeGroupsComeInPartsAndBackWhole) {
  const TemporaryFolder folder;
  RunState state = some_state(5);
  for (int i = 0; i < 5; ++i) {
    state[kOptimizerGroup]["slot" + std::to_string(i)] = torch::full({100}, 0.5 * i);  // 400 bytes
  }
  state["teacher.network"]["fc.weight"] = torch::full({300}, 7.0);  // alone above the limit
  save_checkpoint(folder.path(), kIdentity, 7, {}, state, {9, {}}, {.part_bytes = 1000});
  const fs::path path = folder.path() / checkpoint_name(0);
  EXPECT_THAT(testing::names_in(path), ElementsAre("DONE", "ema.safetensors", "network.safetensors",
                                                   "optimizer-00001-of-00003.safetensors",
                                                   "optimizer-00002-of-00003.safetensors",
                                                   "optimizer-00003-of-00003.safetensors",
                                                   "state.json", "teacher.network.safetensors"));
  expect_equal(load_checkpoint(path).state, state);
  flip_last_byte(path / "optimizer-00002-of-00003.safetensors");
  EXPECT_THROW(load_checkpoint(path), DataError);
}

// As the program before wrote it: three files, the loss scale among the optimizer's tensors.
TEST(Checkpoint, Version1IsRead) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "step-000000003";
  fs::create_directories(path);
  const RunState state = some_state(3);
  TensorMap optimizer = state.at(kOptimizerGroup);
  optimizer["loss_scale.scale"] = torch::tensor(512.0F);
  optimizer["loss_scale.growth_tracker"] = torch::tensor(int32_t{4});
  const std::map<std::string, TensorMap> files = {{"weights.safetensors", state.at(kNetworkGroup)},
                                                  {"optimizer.safetensors", optimizer},
                                                  {"ema.safetensors", state.at(kEmaGroup)}};
  nlohmann::json json = {{"version", 1},
                         {"epoch", 1},
                         {"step", 2},
                         {"global_step", 3},
                         {"epoch_loss_sum", 0.5},
                         {"metrics", {{"val_map", nullptr}}},
                         {"seed", 7},
                         {"recipe_digest", "recipe"},
                         {"class_hash", "c"},
                         {"data_digest", "d"},
                         {"folds_digest", ""},
                         {"fold", -1},
                         {"files", nlohmann::json::object()}};
  for (const auto& [name, tensors] : files) {
    json["files"][name] = models::save_tensors(path / name, tensors);
  }
  json["digest"] = xxh3_128_hex(json.dump());
  std::ofstream(path / "state.json") << json.dump(2) << "\n";
  mark_done(path);

  const Checkpoint read = load_checkpoint(path);
  EXPECT_EQ(read.position.global_step, 3);
  EXPECT_TRUE(std::isnan(read.position.metrics.at("val_map")));
  EXPECT_EQ(digest_of(read.state.at(kNetworkGroup)), digest_of(state.at(kNetworkGroup)));
  EXPECT_EQ(digest_of(read.state.at(kOptimizerGroup)), digest_of(state.at(kOptimizerGroup)));
  EXPECT_EQ(read.state.at(kScalerGroup).at("loss_scale.scale").item<float>(), 512);
  EXPECT_EQ(read.state.at(kScalerGroup).size(), 2u);
}

TEST(Checkpoint, ANewerVersionIsRefusedByName) {
  const TemporaryFolder folder;
  save_step(folder.path(), 1);
  const fs::path file = folder.path() / "step-000000001" / "state.json";
  nlohmann::json json = nlohmann::json::parse(read_file(file));
  json.erase("digest");
  json["version"] = 3;
  json["digest"] = xxh3_128_hex(json.dump());
  std::ofstream(file) << json.dump();
  try {
    load_checkpoint(file.parent_path());
    FAIL() << "expected a DataError";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("version 3, this program reads 1 and 2"));
  }
}

TEST(Checkpoint, TheNewestIsFoundAndOnlyTheNewestAreKept) {
  const TemporaryFolder folder;
  EXPECT_FALSE(find_checkpoint(folder.path()));
  EXPECT_FALSE(find_checkpoint(folder.path() / "none"));
  for (const int64_t step : {9, 10, 100}) save_step(folder.path(), step, 2);
  EXPECT_THAT(testing::names_in(folder.path()), ElementsAre("step-000000010", "step-000000100"));
  EXPECT_EQ(find_checkpoint(folder.path())->path.filename(), "step-000000100");
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
    RunState state = some_state(0);
    for (int64_t step = 1; step <= 5; ++step) {
      state[kNetworkGroup]["fc.weight"].fill_(static_cast<double>(step));
      state[kEmaGroup]["fc.weight"] = torch::full({2, 3}, 3.0 * static_cast<double>(step)).t();
      RunPosition position;
      position.global_step = step;
      writer.start(position, state);
      state[kNetworkGroup]["fc.weight"].fill_(-1);
    }
  }  // the last one is finished here
  for (int64_t step = 1; step <= 5; ++step) {
    const Checkpoint read = load_checkpoint(folder.path() / checkpoint_name(step));
    EXPECT_EQ(read.position.global_step, step);
    EXPECT_TRUE(torch::equal(read.state.at(kNetworkGroup).at("fc.weight"),
                             torch::full({2, 3}, static_cast<double>(step))));
    EXPECT_TRUE(torch::equal(read.state.at(kEmaGroup).at("fc.weight"),
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
      try { load_checkpoint(file.parent_path()); } catch (const DataError& error) {
        EXPECT_THAT(error.what(), HasSubstr(file.string()));
        throw;
      },
      DataError);
  EXPECT_EQ(find_checkpoint(folder.path())->path.filename(), "step-000000001");
}

TEST_P(DamagedCheckpoint, TruncatedOrMissingFileIsNoticed) {
  const TemporaryFolder folder;
  save_step(folder.path(), 1);
  save_step(folder.path(), 2);
  const fs::path file = folder.path() / "step-000000002" / GetParam();
  fs::resize_file(file, fs::file_size(file) / 2);
  EXPECT_EQ(find_checkpoint(folder.path())->path.filename(), "step-000000001");
  fs::remove(file);
  EXPECT_EQ(find_checkpoint(folder.path())->path.filename(), "step-000000001");
}

INSTANTIATE_TEST_SUITE_P(
    Files, DamagedCheckpoint,
    ::testing::Values("network.safetensors", "optimizer.safetensors", "ema.safetensors",
                      "state.json"),
    [](const auto& test) {
      return std::string(test.param).substr(0, std::string(test.param).find('.'));
    });

TEST(Checkpoint, WithoutDoneItDoesNotCount) {
  const TemporaryFolder folder;
  save_step(folder.path(), 1);
  save_step(folder.path(), 2);
  fs::remove(folder.path() / "step-000000002" / "DONE");
  EXPECT_EQ(find_checkpoint(folder.path())->path.filename(), "step-000000001");
}

TEST(Checkpoint, ADamagedOneOfTheSameStepIsReplaced) {
  const TemporaryFolder folder;
  save_step(folder.path(), 2);
  flip_last_byte(folder.path() / "step-000000002" / "network.safetensors");
  EXPECT_FALSE(find_checkpoint(folder.path()));
  save_step(folder.path(), 2);
  EXPECT_EQ(find_checkpoint(folder.path())->path.filename(), "step-000000002");
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
