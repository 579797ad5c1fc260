// Hand-made prediction sets for the tests of gather.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "gather/sets/find_sets.h"
#include "metrics/prediction_set.h"
#include "tests/message_of.h"

namespace podium::gather {

namespace fs = std::filesystem;
using metrics::PredictionKind;
using metrics::PredictionSet;
using metrics::PredictionTask;

// A test with a folder of its own.
class FolderTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    root_ = fs::path(testing::TempDir()) / ("podium_" + std::string(info->test_suite_name()) + "_" +
                                            info->name() + std::to_string(::getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  fs::path root_;
};

// Two classes; the targets of a sample follow from its key alone, the scores from key and group.
inline PredictionSet small_set(const std::string& group, int64_t fold,
                               std::vector<std::string> keys,
                               PredictionKind kind = PredictionKind::kOutOfFold) {
  std::sort(keys.begin(), keys.end());
  PredictionSet set;
  set.kind = kind;
  set.name = group + "/fold" + std::to_string(fold);
  set.model_group = group;
  set.fold = fold;
  set.class_hash = "c1";
  set.data_digest = kind == PredictionKind::kTest ? "test1" : "train1";
  set.classes = {"water", "forest"};
  set.keys = std::move(keys);
  for (const std::string& key : set.keys) {
    for (int64_t k = 0; k < 2; ++k) {
      const int64_t code = key.back() + k;
      const int64_t shift = group.back() % 7 + (kind == PredictionKind::kTest ? fold : 0);
      set.probabilities.push_back(static_cast<float>((code * 5 + shift) % 16) / 16.0f);
      if (kind == PredictionKind::kOutOfFold) {
        set.targets.push_back(static_cast<float>(code % 2));
      }
    }
  }
  return set;
}

// Sets as load_sets returns them, without files.
inline LoadedSet loaded(PredictionSet set) {
  const std::string directory = "sets/" + set.name;
  std::string digest = set.digest();
  return {directory, {}, std::move(digest), std::move(set)};
}

}  // namespace podium::gather
