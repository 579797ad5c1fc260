// Prediction sets: what is written reads back, and what is damaged is refused by name.
#include "metrics/prediction_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/safetensors_file.h"
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
    set.image_heights = {40, 50, 60};
    set.image_widths = {30, 30, 30};
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
  EXPECT_EQ(found.image_heights, set.image_heights);
  EXPECT_EQ(found.image_widths, set.image_widths);
  EXPECT_EQ(found.format_version, 2);
  EXPECT_EQ(found.digest(), set.digest());
}

TEST_F(PredictionSets, HalvesSixteenBitStepsAndLogitsReadBack) {
  PredictionSet set = multi_label();
  set.probabilities = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 1.0f};
  set.weights = {"resnet18.safetensors", "bsd-3-clause"};
  set.value_type = ValueType::kFloat16;
  set.save(root_ / "set");
  PredictionSet found = PredictionSet::load(root_ / "set");
  EXPECT_EQ(found.digest(), set.digest());
  EXPECT_EQ(found.value_type, ValueType::kFloat16);
  EXPECT_EQ(found.weights.source, "resnet18.safetensors");
  EXPECT_EQ(found.weights.licence, "bsd-3-clause");
  for (size_t i = 0; i < 6; ++i) {  // 11 significant bits
    EXPECT_NEAR(found.probabilities[i], set.probabilities[i], set.probabilities[i] / 2048);
  }
  set.value_type = ValueType::kUint16;
  set.save(root_ / "set");
  found = PredictionSet::load(root_ / "set");
  EXPECT_EQ(found.digest(), set.digest());
  EXPECT_FLOAT_EQ(found.probabilities[0], 6554.0f / 65535.0f);
  EXPECT_EQ(found.probabilities[5], 1.0f);
  set.value_type = ValueType::kFloat32;
  set.value_kind = ValueKind::kSoftmaxLogits;
  set.logits = {-3.5f, 2, 0, 1, 8, 9};
  set.probabilities.clear();
  set.save(root_ / "set");
  found = PredictionSet::load(root_ / "set");
  EXPECT_EQ(found.value_kind, ValueKind::kSoftmaxLogits);
  EXPECT_EQ(found.logits, set.logits);
  EXPECT_TRUE(found.probabilities.empty());
  PredictionSet maps = masks();
  maps.value_kind = ValueKind::kSoftmaxLogits;
  maps.value_type = ValueType::kFloat16;
  maps.logits = {1, 2, 3, 4, 5, 6, 7, 8};
  maps.mask_probabilities.clear();
  maps.save(root_ / "maps");
  EXPECT_EQ(PredictionSet::load(root_ / "maps").logits, maps.logits);
}

TEST_F(PredictionSets, LogitsThatDoNotFitAreRefused) {
  PredictionSet set = multi_label();
  set.logits = {1, 2};
  const auto save = [&] { set.save(root_ / "set"); };
  EXPECT_THAT(message_of<DataError>(save), HasSubstr("2 logits in a set of probabilities"));
  set.value_kind = ValueKind::kSigmoidLogits;
  EXPECT_THAT(message_of<DataError>(save), HasSubstr("6 probabilities in a set of logits"));
  set.probabilities.clear();
  EXPECT_THAT(message_of<DataError>(save), HasSubstr("2 logits, expected 6"));
  set.logits = {1, 2, 3, 4, 5, 70000};
  set.value_type = ValueType::kFloat16;
  EXPECT_THAT(message_of<DataError>(save), HasSubstr("logit 5 is 70000"));
  set.value_type = ValueType::kUint16;
  EXPECT_THAT(message_of<DataError>(save), HasSubstr("uint16"));
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
}

TEST_F(PredictionSets, DigestChangesWithAllThatMeansSomething) {
  const auto digest_with = [](const std::function<void(PredictionSet&)>& change) {
    PredictionSet set = multi_label();
    change(set);
    return set.digest();
  };
  std::set<std::string> digests = {multi_label().digest()};
  const std::vector<std::function<void(PredictionSet&)>> changes = {
      [](PredictionSet& set) { set.name = "elsewhere"; },
      [](PredictionSet& set) { set.model_group = "elsewhere"; },
      [](PredictionSet& set) { set.fold = 2; },
      [](PredictionSet& set) { set.kind = PredictionKind::kTest; },
      [](PredictionSet& set) { std::swap(set.classes[0], set.classes[1]); },
      [](PredictionSet& set) { set.class_hash = "c1"; },
      [](PredictionSet& set) { set.data_digest = "d1"; },
      [](PredictionSet& set) { set.weights.source = "weights.safetensors"; },
      [](PredictionSet& set) { set.weights.licence = "apache-2.0"; },
      [](PredictionSet& set) { std::swap(set.image_heights[0], set.image_heights[1]); },
      [](PredictionSet& set) { set.value_type = ValueType::kFloat16; },
      [](PredictionSet& set) {
        set.value_kind = ValueKind::kSigmoidLogits;
        set.logits = std::move(set.probabilities);
        set.probabilities = {};
      }};
  for (size_t i = 0; i < changes.size(); ++i) {
    EXPECT_TRUE(digests.insert(digest_with(changes[i])).second) << "change " << i;
  }
}

// The bytes that docs/formats.md names, put together by hand.
TEST_F(PredictionSets, DigestsAreThoseOfTheDescribedBytes) {
  const auto bytes_of = [](const auto& values) {
    return std::string(reinterpret_cast<const char*>(values.data()),
                       values.size() * sizeof(values[0]));
  };
  PredictionSet set = multi_label();
  const std::string values = "probabilities F32 [3,2]\n" + bytes_of(set.probabilities) +
                             "targets F32 [3,2]\n" + bytes_of(set.targets);
  EXPECT_EQ(set.values_digest(), xxh3_128_hex("a\nb\nc\n" + values));
  EXPECT_EQ(
      set.digest(),
      xxh3_128_hex(
          R"({"class_hash":"c0","classes":["water","forest"],"data_digest":"d0","dtype":"fp32",)"
          R"("fold":1,"format":"podium.prediction_set.v2","keys":["a","b","c"],)"
          R"("kind":"out_of_fold","member":"raw/fold1","model_group":"raw",)"
          R"("task":"multi_label","values":"probabilities",)"
          R"("weights":{"licence":"","source":""}})"
          "\nimage_heights I32 [3]\n" +
          bytes_of(set.image_heights) + "image_widths I32 [3]\n" + bytes_of(set.image_widths) +
          values));
  set.format_version = 1;
  EXPECT_EQ(set.digest(), set.values_digest());
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

// As version 0.1 wrote it: classes, kind, fold and name lie outside the digest.
TEST_F(PredictionSets, Version1ReadsWithTheDigestThatItHad) {
  const PredictionSet set = multi_label();
  const auto view = [](const std::vector<float>& values) {
    return ArrayView{DType::kF32,
                     {3, 2},
                     {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}};
  };
  const fs::path directory = root_ / "old";
  fs::create_directories(directory);
  const auto write = [&](const std::map<std::string, ArrayView>& arrays) {
    write_safetensors(directory / "predictions.safetensors", arrays,
                      {{"format", "podium.prediction_set.v1"}});
  };
  write({{"probabilities", view(set.probabilities)}, {"targets", view(set.targets)}});
  write_file_atomic(directory / "keys.json",
                    R"({"format": "podium.prediction_set.v1", "kind": "out_of_fold",
 "task": "multi_label", "name": "raw/fold1", "model_group": "raw", "fold": 1, "class_hash": "c0",
 "data_digest": "d0", "classes": ["water", "forest"], "keys": ["a", "b", "c"],
 "digest": ")" + set.values_digest() +
                        "\"}\n");
  write_file_atomic(directory / "DONE", "");
  const PredictionSet found = PredictionSet::load(directory);
  EXPECT_EQ(found.format_version, 1);
  EXPECT_EQ(found.name, "raw/fold1");
  EXPECT_EQ(found.probabilities, set.probabilities);
  EXPECT_EQ(found.digest(), set.values_digest());
  EXPECT_TRUE(found.image_heights.empty());
  found.save(root_ / "new");
  EXPECT_EQ(PredictionSet::load(root_ / "new").format_version, 2);
  const std::vector<float> scores = {0.5f, 0.5f};
  write({{"probabilities", view(set.probabilities)},
         {"image_heights", {DType::kF32, {2}, view(scores).data}}});
  EXPECT_THAT(message_of<DataError>([&] { PredictionSet::load(directory); }),
              HasSubstr("unexpected array \"image_heights\""));
}

TEST_F(PredictionSets, AnyFlippedBitIsRefused) {
  multi_label().save(root_ / "set");
  for (const char* name : {"predictions.safetensors", "keys.json"}) {
    const fs::path file = root_ / "set" / name;
    const std::string bytes = read_file(file);
    for (size_t i = 0; i < bytes.size(); ++i) {
      std::string flipped = bytes;
      flipped[i] ^= 1;
      std::ofstream(file, std::ios::binary) << flipped;
      EXPECT_THROW(PredictionSet::load(root_ / "set"), DataError) << name << ", byte " << i;
    }
    write_file_atomic(file, bytes);
  }
  EXPECT_NO_THROW(PredictionSet::load(root_ / "set"));
}

TEST_F(PredictionSets, TruncatedOversizedAndEmptyFilesAreRefused) {
  multi_label().save(root_ / "set");
  for (const char* name : {"predictions.safetensors", "keys.json"}) {
    const fs::path file = root_ / "set" / name;
    const std::string bytes = read_file(file);
    for (const std::string& damaged :
         {std::string(), bytes.substr(0, 7), bytes + "x", bytes.substr(0, bytes.size() - 3)}) {
      write_file_atomic(file, damaged);
      EXPECT_THAT(message_of<DataError>([&] { PredictionSet::load(root_ / "set"); }),
                  HasSubstr(name));
    }
    write_file_atomic(file, bytes);
  }
}

TEST_F(PredictionSets, EditedHeadersAreRefused) {
  multi_label().save(root_ / "set");
  const fs::path file = root_ / "set" / "keys.json";
  const std::string keys = read_file(file);
  const auto message_with = [&](const std::string& from, const std::string& to) {
    std::string edited = keys;
    EXPECT_NE(edited.find(from), std::string::npos) << from;
    edited.replace(edited.find(from), from.size(), to);
    write_file_atomic(file, edited);
    return message_of<DataError>([&] { PredictionSet::load(root_ / "set"); });
  };
  EXPECT_THAT(message_with("\"water\",\n  \"forest\"", "\"forest\",\n  \"water\""),
              HasSubstr("digest"));
  EXPECT_THAT(message_with("\"fold\": 1", "\"fold\": 0"), HasSubstr("digest"));
  EXPECT_THAT(message_with("\"fold\": 1", "\"fold\": 1.5"), HasSubstr("fold is 1.5"));
  EXPECT_THAT(message_with("out_of_fold", "test"), HasSubstr("digest"));
  EXPECT_THAT(message_with("raw/fold1", "raw/fold2"), HasSubstr("digest"));
  EXPECT_THAT(message_with("\"licence\": \"\"", "\"licence\": \"mit\""), HasSubstr("digest"));
  EXPECT_THAT(message_with("\"fold\": 1", "\"fold\": 1, \"fold\": 1"),
              HasSubstr("\"fold\" occurs twice"));
  EXPECT_THAT(message_with("\"fold\": 1", "\"fold\": 1, \"epoch\": 1"),
              HasSubstr("unknown member \"epoch\""));
  EXPECT_THAT(message_with("\"b\"", "\"a\""), HasSubstr("\"a\" occurs twice"));
  EXPECT_THAT(message_with("\"fp32\"", "\"fp64\""), HasSubstr("fp32, fp16, uint16"));
  EXPECT_THAT(message_with("\"fp32\"", "\"fp16\""), HasSubstr("probabilities"));
  EXPECT_THAT(message_with("\"fold\": 1,", ""), HasSubstr("fold"));
}

TEST_F(PredictionSets, TextThatIsNotUtf8IsRefused) {
  PredictionSet set = multi_label();
  set.classes[0] = "w\xFFter";
  EXPECT_THAT(message_of<DataError>([&] { set.save(root_ / "set"); }), HasSubstr("UTF-8"));
  EXPECT_FALSE(fs::exists(root_ / "set"));
}

TEST_F(PredictionSets, KeyFileThatIsNoJsonOrOfAnotherVersionIsNamed) {
  multi_label().save(root_ / "set");
  const fs::path file = root_ / "set" / "keys.json";
  const std::string keys = read_file(file);
  write_file_atomic(file, keys.substr(0, keys.size() / 2));
  EXPECT_THAT(message_of<DataError>([&] { PredictionSet::load(root_ / "set"); }),
              HasSubstr("keys.json"));
  std::string other = keys;
  other.replace(other.find(".v2"), 3, ".v9");
  write_file_atomic(file, other);
  EXPECT_THAT(message_of<DataError>([&] { PredictionSet::load(root_ / "set"); }),
              HasSubstr("podium.prediction_set.v9"));
}

}  // namespace
}  // namespace podium::metrics
