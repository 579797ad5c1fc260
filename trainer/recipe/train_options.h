// What `podium train` is told beside the recipe.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace podium::trainer {

struct TrainOptions {
  std::filesystem::path recipe;
  std::vector<std::string> overrides;  // --set
  std::filesystem::path data;
  std::filesystem::path folds;  // empty: all samples train, none validate
  int64_t fold = 0;
  std::filesystem::path run_dir;
  std::string resume = "auto";  // "auto", "never", or a checkpoint directory
  std::string device = "auto";
  int loader_threads = 0;       // per worker; 0 = by cores and workers
  bool uses_pread = false;      // read shards by pread (network file systems), not mmap
  std::filesystem::path stage;  // folder on the node's disk to copy the data set to; or ""
  bool is_fastest = false;      // plain all-reduce
  int64_t bucket_bytes = int64_t{25} << 20;  // gradients of one collective; changes no bits
  bool skip_bad_samples = false;
  std::chrono::milliseconds timeout{600'000};  // of collectives
  std::string trial_name;   // in prediction sets; empty: the run directory's name
  std::string model_group;  // empty: the trial's name without "/foldN"
};

}  // namespace podium::trainer
