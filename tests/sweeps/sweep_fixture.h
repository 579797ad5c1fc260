// A plan on disk and a runner that stands in for training: it records what it was asked and writes
// result.json.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/file.h"
#include "sweeps/sweep.h"

namespace podium::sweeps {

class SweepFixture : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::path(testing::TempDir()) /
            ("podium-sweeps-" + std::to_string(::getpid()) + "-" + info->name());
    std::filesystem::remove_all(root_);
    write("recipe.yaml", "");
    write("folds.json", R"({"num_folds": 2})");
    make_data("train", "train data");
    make_data("test", "test data");
    write_plan(
        "axes:\n"
        "  preprocessing:\n"
        "    raw: []\n"
        "    other: [\"seed=7\"]\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& name, const std::string& text) {
    make_directories((root_ / name).parent_path());
    write_file_atomic(root_ / name, text);
  }
  void make_data(const std::string& name, const std::string& text) {
    write(name + "/dataset.json", text);
    mark_done(root_ / name);
  }
  void write_plan(const std::string& rest) {
    write("plan.yaml", "name: demo\nrecipe: recipe.yaml\ndata: train\nfolds: folds.json\n" + rest);
  }

  SweepOptions options() {
    SweepOptions options;
    options.plan = root_ / "plan.yaml";
    options.output = root_ / "out";
    options.num_slots = 1;
    options.runner = [this](const TrialStep& trial_step, std::stop_token) {
      return record(trial_step);
    };
    return options;
  }

  static std::string argument(const TrialStep& trial_step, const std::string& flag) {
    for (const std::string& word : trial_step.arguments) {
      if (word.starts_with("--" + flag + "=")) return word.substr(flag.size() + 3);
    }
    return "";
  }

  TrialStepResult record(const TrialStep& trial_step) {
    const std::lock_guard lock(mutex_);
    const std::string name = argument(trial_step, "trial_name");
    calls_.push_back(trial_step.command + ":" +
                     (name.empty() ? argument(trial_step, "run") : name));
    steps_.push_back(trial_step);
    if (failures_.contains(name)) return {failures_.at(name), "made to fail"};
    if (trial_step.command == "train") {
      const std::filesystem::path run_dir = argument(trial_step, "run_dir");
      make_directories(run_dir);
      const double value = name.starts_with("other") ? 0.5 : 0.25;
      const double offset = name.ends_with("fold1") ? 0.125 : 0.0;
      write_file_atomic(run_dir / "result.json",
                        R"({"metrics": {"val_map": )" + std::to_string(value + offset) + "}}");
    }
    return {};
  }

  std::filesystem::path root_;
  std::mutex mutex_;
  std::vector<std::string> calls_;
  std::vector<TrialStep> steps_;
  std::map<std::string, int> failures_;  // trial name -> exit code
};

}  // namespace podium::sweeps
