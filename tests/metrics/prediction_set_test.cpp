// Prediction sets: what is written reads back, and what is damaged is refused by name.
#include "metrics/prediction_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "tests/message_of.h"

namespace podium::metrics {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class PredictionSets : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    root_ = fs::path(testing::TempDir()) /
            (std::string("podium_sets_") + info->name() + std::to_string(::getpid()));
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  static PredictionSet multi_label() {
    PredictionSet set;
    set.name = "raw/fold1";
    set.model_group = "raw";
    set.fold = 1;
    set.class_hash = "c0";
    set.data_digest = "d0";
    set.classes = {"water", "forest"};
    set.keys = {"a", "b", "c"};
    set.probabilities = {0.0f, 1.0f, 0.25f, 0.5f, 0.75f, 0.125f};
    set.targets = {0, 1, -1, 1, 1, 0};
    return set;
  }
  static PredictionSet masks() {
    PredictionSet set;
    set.task = PredictionTask::kSegmentation;
    set.classes = {"background", "building"};
    set.keys = {"x", "y"};
    set.mask_heights = {1, 2};
    set.mask_widths = {2, 1};
    set.mask_probabilities = {65535, 0, 0, 65535, 1, 2, 3, 4};
    set.mask_targets = {0, 1, 255, 1};
    return set;
  }

  fs::path root_;
};

TEST_F(PredictionSets, MultiLabelReadsBackEqual) {
  const PredictionSet set = multi_label();
  set.save(root_ / "set");
  const PredictionSet found = PredictionSet::load(root_ / "set");
  EXPECT_EQ(found.kind, PredictionKind::kOutOfFold);
  EXPECT_EQ(found.task, PredictionTask::kMultiLabel);
  EXPECT_EQ(found.name, "raw/fold1");
  EXPECT_EQ(found.model_group, "raw");
  EXPECT_EQ(found.fold, 1);
  EXPECT_EQ(found.class_hash, "c0");
  EXPECT_EQ(found.data_digest, "d0");
  EXPECT_EQ(found.classes, set.classes);
  EXPECT_EQ(found.keys, set.keys);
  EXPECT_EQ(found.probabilities, set.probabilities);
  EXPECT_EQ(found.targets, set.targets);
  EXPECT_EQ(found.digest(), set.digest());
}

TEST_F(PredictionSets, MasksAndSingleLabelReadBackEqual) {
  masks().save(root_ / "masks");
  const PredictionSet found = PredictionSet::load(root_ / "masks");
  EXPECT_EQ(found.mask_probabilities, masks().mask_probabilities);
  EXPECT_EQ(found.mask_targets, masks().mask_targets);
  EXPECT_EQ(found.mask_heights, masks().mask_heights);
  PredictionSet single = multi_label();
  single.task = PredictionTask::kSingleLabel;
  single.kind = PredictionKind::kTest;
  single.targets.clear();
  single.class_targets = {0, -1, 1};
  single.save(root_ / "single");
  EXPECT_EQ(PredictionSet::load(root_ / "single").class_targets, single.class_targets);
  EXPECT_EQ(PredictionSet::load(root_ / "single").kind, PredictionKind::kTest);
}

TEST_F(PredictionSets, DigestChangesWithAKeyAndWithAValue) {
  PredictionSet other = multi_label();
  other.probabilities[3] = 0.625f;
  EXPECT_NE(other.digest(), multi_label().digest());
  other = multi_label();
  other.keys[2] = "d";
  EXPECT_NE(other.digest(), multi_label().digest());
  other = multi_label();
  other.name = "elsewhere";
  EXPECT_EQ(other.digest(), multi_label().digest());
}

TEST_F(PredictionSets, SavingAgainReplacesAndLeavesNothingBeside) {
  multi_label().save(root_ / "set");
  PredictionSet other = multi_label();
  other.probabilities[0] = 0.5f;
  other.save(root_ / "set");
  EXPECT_EQ(PredictionSet::load(root_ / "set").probabilities[0], 0.5f);
  EXPECT_EQ(std::distance(fs::directory_iterator(root_), fs::directory_iterator()), 1);
}

TEST_F(PredictionSets, BadValuesAreRefusedByKeyAndClassBeforeWriting) {
  PredictionSet set = multi_label();
  set.probabilities[3] = 1.5f;
  const auto save = [&] { set.save(root_ / "set"); };
  EXPECT_THAT(message_of<DataError>(save),
              testing::AllOf(HasSubstr("\"b\""), HasSubstr("\"forest\""), HasSubstr("1.5")));
  set.probabilities[3] = NAN;
  EXPECT_THAT(message_of<DataError>(save), HasSubstr("nan"));
  set = multi_label();
  set.keys = {"a", "c", "b"};
  EXPECT_THAT(message_of<DataError>(save), HasSubstr("not ascending: \"c\" before \"b\""));
  set.keys = {"a", "a", "b"};
  EXPECT_THAT(message_of<DataError>(save), HasSubstr("\"a\" occurs twice"));
  set = multi_label();
  set.targets.pop_back();
  EXPECT_THAT(message_of<DataError>(save), HasSubstr("5 targets, expected 6"));
  set = masks();
  set.mask_targets[0] = 2;
  EXPECT_THAT(message_of<DataError>(save), HasSubstr("mask pixel 0: class 2"));
  EXPECT_FALSE(fs::exists(root_ / "set"));
}

TEST_F(PredictionSets, UnfinishedIsRefused) {
  multi_label().save(root_ / "set");
  fs::remove(root_ / "set" / "DONE");
  EXPECT_THAT(message_of<DataError>([&] { PredictionSet::load(root_ / "set"); }),
              HasSubstr("DONE"));
  EXPECT_THAT(message_of<IoError>([&] { PredictionSet::load(root_ / "none"); }), HasSubstr("none"));
}

TEST_F(PredictionSets, FlippedByteAndForeignKeysAreRefused) {
  multi_label().save(root_ / "set");
  const fs::path arrays = root_ / "set" / "predictions.safetensors";
  std::string bytes = read_file(arrays);
  std::string flipped = bytes;
  flipped[flipped.size() - 4 * 6 - 4] ^= 1;  // the last probability; the targets follow
  write_file_atomic(arrays, flipped);
  EXPECT_THAT(message_of<DataError>([&] { PredictionSet::load(root_ / "set"); }),
              HasSubstr("digest"));
  write_file_atomic(arrays, bytes.substr(0, bytes.size() - 3));
  EXPECT_THAT(message_of<DataError>([&] { PredictionSet::load(root_ / "set"); }),
              HasSubstr("predictions.safetensors"));
  write_file_atomic(arrays, bytes);
  std::string keys = read_file(root_ / "set" / "keys.json");
  keys.replace(keys.find("\"c\""), 3, "\"d\"");
  write_file_atomic(root_ / "set" / "keys.json", keys);
  EXPECT_THAT(message_of<DataError>([&] { PredictionSet::load(root_ / "set"); }),
              HasSubstr("digest"));
}

TEST_F(PredictionSets, KeyFileThatIsNoJsonOrOfAnotherVersionIsNamed) {
  multi_label().save(root_ / "set");
  const fs::path file = root_ / "set" / "keys.json";
  const std::string keys = read_file(file);
  write_file_atomic(file, keys.substr(0, keys.size() / 2));
  EXPECT_THAT(message_of<DataError>([&] { PredictionSet::load(root_ / "set"); }),
              HasSubstr("keys.json"));
  std::string other = keys;
  other.replace(other.find(".v1"), 3, ".v9");
  write_file_atomic(file, other);
  EXPECT_THAT(message_of<DataError>([&] { PredictionSet::load(root_ / "set"); }),
              HasSubstr("podium.prediction_set.v9"));
}

}  // namespace
}  // namespace podium::metrics
