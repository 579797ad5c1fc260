// Runs the podium binary as a user would, in a folder of its own.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/process/subprocess.h"
#include "base/text.h"

namespace podium {

struct PodiumResult {
  int code = 0;
  std::string out;
  std::string err;
};

// A program that runs beside the test.
class ProgramRun {
 public:
  explicit ProgramRun(std::vector<std::string> arguments,
                      const std::vector<std::pair<std::string, std::string>>& environment = {}) {
    SubprocessOptions options;
    options.arguments = std::move(arguments);
    options.set_env = environment;
    options.on_line = [this](const std::string& line, bool is_stderr) {
      const std::lock_guard lock(mutex_);
      (is_stderr ? result_.err : result_.out) += line + "\n";
    };
    process_ = std::make_unique<Subprocess>(std::move(options));
  }
  Subprocess& process() { return *process_; }
  bool has_ended() { return process_->wait_for(std::chrono::milliseconds(0)).has_value(); }
  PodiumResult wait() {
    const ExitStatus status = process_->wait();
    const std::lock_guard lock(mutex_);
    result_.code = status.code;
    return result_;
  }
  PodiumResult so_far() {
    const std::lock_guard lock(mutex_);
    return result_;
  }

 private:
  std::mutex mutex_;
  PodiumResult result_;
  std::unique_ptr<Subprocess> process_;
};

// podium itself.
class PodiumProcess : public ProgramRun {
 public:
  explicit PodiumProcess(const std::vector<std::string>& arguments,
                         const std::vector<std::pair<std::string, std::string>>& environment = {})
      : ProgramRun(with_binary(arguments), environment) {}

 private:
  static std::vector<std::string> with_binary(const std::vector<std::string>& arguments) {
    std::vector<std::string> words = {PODIUM_BINARY};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return words;
  }
};

inline PodiumResult podium_run(
    const std::vector<std::string>& arguments,
    const std::vector<std::pair<std::string, std::string>>& environment = {}) {
  return PodiumProcess(arguments, environment).wait();
}

class PodiumFixture : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::path(testing::TempDir()) /
            ("podium-e2e-" + std::to_string(::getpid()) + "-" + info->name());
    std::filesystem::remove_all(root_);
    make_directories(root_);
  }
  void TearDown() override {
    if (!HasFailure()) std::filesystem::remove_all(root_);
  }

  std::string path(const std::string& name) const { return (root_ / name).string(); }
  std::string flag(const std::string& name, const std::string& file) const {
    return "--" + name + "=" + path(file);
  }
  void succeed(const std::vector<std::string>& arguments) {
    const PodiumResult result = podium_run(arguments);
    ASSERT_EQ(result.code, 0) << join(arguments, " ") << "\n" << result.out << result.err;
  }
  // 32 drawn images of 32 px, packed and split into two folds; a recipe that trains in seconds.
  void make_data() {
    succeed({"demo", flag("output", "demo"), "--num_train=32", "--num_test=8", "--image_size=32"});
    for (const std::string name : {"train", "test"}) {
      succeed({"pack", "--layout=multilabel_csv", flag("input", "demo/" + name + ".csv"),
               flag("output", "shards/" + name)});
    }
    succeed({"split", flag("data", "shards/train"), "--method=kfold", "--num_folds=2", "--seed=1",
             flag("output", "folds.json")});
    write_file_atomic(path("recipe.yaml"), recipe("color_histogram", 2));
  }
  static std::string recipe(const std::string& model, int epochs) {
    return "seed: 3\nlogical_workers: 2\n"
           "data: {train_transforms: [{resize: {size: [32]}}, hflip, normalize],"
           " eval_transforms: [{resize: {size: [32]}}, normalize]}\n"
           "model: {name: " +
           model +
           "}\n"
           "optimizer: {name: adam, lr: 1.0e-2}\n"
           "train: {epochs: " +
           std::to_string(epochs) +
           ", micro_batch_size: 4}\n"
           "eval: {every_epochs: 20}\nlog: {every_steps: 1}\n";
  }
  // The words of a run on fold 0.
  std::vector<std::string> train(const std::string& run_dir) const {
    return {"train",
            flag("recipe", "recipe.yaml"),
            flag("data", "shards/train"),
            flag("folds", "folds.json"),
            "--fold=0",
            flag("run_dir", run_dir)};
  }
  std::vector<std::string> launch(int workers, const std::string& run_dir) const {
    std::vector<std::string> words = {"launch", "-n", std::to_string(workers), "--"};
    const auto more = train(run_dir);
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  nlohmann::json json(const std::string& name) const {
    return nlohmann::json::parse(read_file(root_ / name));
  }
  std::vector<nlohmann::json> lines(const std::string& name) const {
    std::vector<nlohmann::json> result;
    for (const std::string& line : split(read_file(root_ / name), '\n')) {
      if (!line.empty()) result.push_back(nlohmann::json::parse(line));
    }
    return result;
  }

  // True once `run_dir` has steps behind it; false when the program ended before.
  bool wait_for_steps(ProgramRun& program, const std::string& run_dir, size_t num_lines) const {
    for (int i = 0; i < 4800 && !program.has_ended(); ++i) {
      std::error_code ignored;
      if (std::filesystem::exists(root_ / run_dir / "metrics.jsonl", ignored)) {
        const std::string text = read_file(root_ / run_dir / "metrics.jsonl");
        if (static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) >= num_lines)
          return true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }

  std::filesystem::path root_;
};

}  // namespace podium
