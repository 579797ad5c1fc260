// Runs to compare: small data sets and recipes, worlds that train, and everything a run leaves that
// must not depend on how it was run. Read next: mpi_identity_test.cpp.
#pragma once

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/hash.h"
#include "base/rng.h"
#include "tests/distributed/mpi_run.h"
#include "tests/trainer/train_test_util.h"
#include "trainer/record/run_directory.h"

namespace podium::trainer::testing {

using podium::testing::MpiOutcome;
using podium::testing::MpiWorkers;

// A kind of model whose runs must be equal; a line in kModels adds one.
struct ModelCase {
  const char* name;
  bool has_masks;
  std::vector<std::string> overrides;  // of base_recipe()
};

inline void PrintTo(const ModelCase& model, std::ostream* stream) { *stream << model.name; }

// 8 logical workers of 2 samples, 2 steps an epoch, EMA, clipping: all that a step can do.
inline std::string base_recipe() {
  return "seed: 7\n"
         "logical_workers: 8\n"
         "data:\n"
         "  train_transforms: [{resize: {size: [32]}}, hflip, normalize]\n"
         "  eval_transforms: [{resize: {size: [32]}}, normalize]\n"
         "model: {name: color_histogram}\n"
         "optimizer: {name: adamw, lr: 0.002, weight_decay: 0.01}\n"
         "schedule: {name: cosine, warmup_epochs: 0.5}\n"
         "train: {epochs: 2, micro_batch_size: 2, ema_decay: 0.9, clip_grad_norm: 5}\n"
         "eval: {batch_size: 7}\n"
         "checkpoint: {keep: 1}\n"
         "log: {every_steps: 1}\n";
}

// One run of a world.
struct Job {
  std::string run_name;
  std::vector<std::string> overrides;
  int loader_threads = 1;
  int64_t bucket_bytes = int64_t{25} << 20;
  bool is_fastest = false;
};

// What a run left, by name: digests of files, and the lines and records that have no clock in them.
using Traces = std::map<std::string, std::string>;

class IdentityFixture : public ::testing::Test {
 protected:
  void make_data(bool has_masks, int num_samples = 48) {
    data_ = has_masks ? pack_masks(folder_.path(), num_samples)
                      : pack_multi_label(folder_.path(), num_samples);
    make_fold_file(data_, 3);
    write_file_atomic(folder_.path() / "recipe.yaml", base_recipe());
  }
  fs::path run_dir(const std::string& name) const { return folder_.path() / name; }

  // The arguments of mpi_worker for these jobs.
  std::vector<std::string> arguments(const std::vector<Job>& jobs) {
    nlohmann::json list = nlohmann::json::array();
    for (const Job& job : jobs) {
      list.push_back({{"recipe", (folder_.path() / "recipe.yaml").string()},
                      {"data", data_.string()},
                      {"folds", (folder_.path() / "folds.json").string()},
                      {"run_dir", run_dir(job.run_name).string()},
                      {"overrides", job.overrides},
                      {"loader_threads", job.loader_threads},
                      {"bucket_bytes", job.bucket_bytes},
                      {"is_fastest", job.is_fastest}});
    }
    const fs::path file = folder_.path() / fmt::format("jobs-{}.json", num_job_files_++);
    write_file_atomic(file, list.dump());
    return {"train", file.string()};
  }
  // Runs all jobs in one world.
  void run(int world_size, const std::vector<Job>& jobs) {
    // For --fastest, which would take more threads: the sums alone shall differ.
    const MpiOutcome outcome =
        podium::testing::run_workers(world_size, arguments(jobs), {{"OMP_NUM_THREADS", "1"}});
    ASSERT_EQ(outcome.code, 0) << "W " << world_size << "\n" << outcome.output;
  }

  Traces traces_of(const std::string& name) const {
    const RunDirectory directory{run_dir(name)};
    Traces traces;
    const std::vector<std::string> checkpoints = names_in(directory.checkpoints());
    EXPECT_FALSE(checkpoints.empty());
    for (const fs::path& folder : {directory.root, directory.oof_predictions(),
                                   directory.checkpoints() / checkpoints.back()}) {
      for (const auto& entry : fs::directory_iterator(folder)) {
        const std::string extension = entry.path().extension().string();
        if (extension != ".safetensors" && folder != directory.oof_predictions()) continue;
        traces[fs::relative(entry.path(), directory.root).string()] =
            xxh3_128_hex_of_file(entry.path());
      }
    }
    traces["result.json"] = xxh3_128_hex_of_file(directory.result());
    const auto manifest = nlohmann::json::parse(read_file(directory.manifest()));
    traces["epochs of manifest.json"] = xxh3_128_hex(manifest.at("epochs").dump());
    for (auto& line : read_lines(directory.metrics())) {
      for (const char* key : {"images_per_s", "data_wait_s", "data_wait_fraction"}) line.erase(key);
      traces["metrics.jsonl"] += line.dump() + "\n";
    }
    // Weights, predictions, and weights, optimizer and averages of the checkpoint.
    EXPECT_GE(traces.size(), 8u);
    return traces;
  }
  nlohmann::json manifest_of(const std::string& name) const {
    return nlohmann::json::parse(read_file(run_dir(name) / "manifest.json"));
  }

  // The last step that metrics.jsonl tells; a line that is being written does not count.
  int64_t last_step(const std::string& name) const {
    const fs::path file = run_dir(name) / "metrics.jsonl";
    int64_t last = 0;
    if (!fs::exists(file)) return last;
    for (const std::string& text : split(read_file(file), '\n')) {
      const auto line = nlohmann::json::parse(text, nullptr, false);
      if (line.is_object()) last = std::max(last, line["step"].get<int64_t>());
    }
    return last;
  }
  size_t num_starts(const std::string& name) const {
    return fs::exists(run_dir(name) / "manifest.json") ? manifest_of(name).at("starts").size() : 0;
  }
  // Until the `start`-th process of the run (from 1) works on it and `step` is reached. False when
  // the world ended before.
  bool wait_for_step(MpiWorkers& workers, const std::string& name, int64_t step,
                     size_t start = 1) const {
    while (num_starts(name) < start || last_step(name) < step) {
      if (workers.has_ended()) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }

  // Runs `job` with `num_kills` deaths of a random rank at random steps, each time going on with
  // another number of workers; now and then the newest checkpoint is damaged in between.
  void run_with_kills(const Job& job, int num_kills, int64_t num_steps) {
    Rng rng(11, RandomPurpose::kTest);
    int world_size = 0;
    int num_killed = 0;
    const auto next_world = [&] {
      const int earlier = world_size;
      while (world_size == earlier) world_size = 1 << rng.below(4);
      return world_size;
    };
    std::string story;
    while (num_killed < num_kills) {
      MpiWorkers workers(next_world(), arguments({job}));
      const int64_t room = num_steps * (num_killed + 1) / (num_kills + 1);
      const int64_t step = std::max<int64_t>(1, room - static_cast<int64_t>(rng.below(3)));
      const auto start = static_cast<size_t>(num_killed) + 1;
      ASSERT_TRUE(wait_for_step(workers, job.run_name, step, start)) << story << workers.output();
      const int rank = static_cast<int>(rng.below(static_cast<uint64_t>(world_size)));
      ASSERT_GT(workers.pid_of(rank), 0) << workers.output();
      std::this_thread::sleep_for(std::chrono::milliseconds(rng.below(50)));
      ::kill(workers.pid_of(rank), SIGKILL);
      const MpiOutcome outcome = workers.wait();
      ASSERT_EQ(outcome.code, 128 + SIGKILL) << story << outcome.output;
      story += fmt::format("kill {} of rank {} of {} in or after step {}\n", ++num_killed, rank,
                           world_size, step);
      if (num_killed % 3 == 0) damage_newest_checkpoint(job.run_name, num_killed % 2 == 0);
    }
    // A quick run may reach its end before the last signal; it is not taken up again then.
    const int num_unfinished = is_done(run_dir(job.run_name)) ? num_kills - 1 : num_kills;
    MpiWorkers workers(next_world(), arguments({job}));
    const MpiOutcome outcome = workers.wait();
    ASSERT_EQ(outcome.code, 0) << story << outcome.output;
    const auto starts = manifest_of(job.run_name).at("starts");
    ASSERT_EQ(static_cast<int>(starts.size()), num_unfinished + 1) << story;
    EXPECT_GT(starts.back().at("global_step"), 0) << story;
  }

  void damage_newest_checkpoint(const std::string& name, bool is_truncated) const {
    const fs::path folder = RunDirectory{run_dir(name)}.checkpoints();
    std::vector<std::string> names = names_in(folder);
    std::erase_if(names, [](const std::string& text) { return !text.starts_with("step-"); });
    if (names.empty()) return;
    const fs::path file = folder / names.back() / "network.safetensors";
    if (is_truncated) {
      fs::resize_file(file, fs::file_size(file) / 2);
    } else {
      flip_last_byte(file);
    }
  }

  TemporaryFolder folder_;
  fs::path data_;
  int num_job_files_ = 0;
};

}  // namespace podium::trainer::testing
