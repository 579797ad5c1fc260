// `podium train`: one run, the same program for one and for many workers. Read next: train_loop.h,
// predict.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/recipe/schema.h"

namespace podium::trainer {

// Every key of a training recipe.
const Schema& recipe_schema();

struct TrainOptions {
  std::filesystem::path recipe;
  std::vector<std::string> overrides;  // --set
  std::filesystem::path data;
  std::filesystem::path folds;  // empty: all samples train, none validate
  int64_t fold = 0;
  std::filesystem::path run_dir;
  std::string resume = "auto";  // "auto", "never", or a checkpoint directory
  std::string device = "auto";
  int loader_threads = 0;                    // per worker; 0 = by cores and workers
  bool uses_pread = false;                   // read shards by pread (network file systems), not mmap
  std::filesystem::path stage;               // folder on the node's disk to copy the data set to; or ""
  bool is_fastest = false;                   // plain all-reduce
  int64_t bucket_bytes = int64_t{25} << 20;  // gradients of one collective; changes no bits
  bool skip_bad_samples = false;
  std::chrono::milliseconds timeout{600'000};  // of collectives
  std::string trial_name;   // in prediction sets; empty: the run directory's name
  std::string model_group;  // empty: the trial's name without "/foldN"
};

struct TrainResult {
  int64_t epochs = 0;
  int64_t steps = 0;
  std::map<std::string, double> metrics;  // of the last evaluation: "val_loss", "val_map" ...
  std::filesystem::path oof_predictions;  // empty without validation samples
};

// Errors: RecipeError, DataError, IoError, DistributedError, DivergedError (with epoch, step and
// loss), InterruptedError.
TrainResult train(const TrainOptions& options);

struct PredictOptions {
  std::vector<std::filesystem::path> runs;
  std::filesystem::path data;
  std::string split = "test";      // "val" (the run's fold), "test" or "all" (every sample)
  std::string precision = "fp32";  // "fp32", "bf16"
  std::filesystem::path output;  // a prediction set for one run; one folder per run (its name) for
                                 // several. Empty: RUN/predictions/{oof,test}
  std::string device = "auto";
  int loader_threads = 0;
  bool uses_pread = false;  // read shards by pread (network file systems) instead of mmap
  std::filesystem::path stage;
  int64_t batch_size = 0;  // 0: the recipe's eval.batch_size
  bool skip_bad_samples = false;
  std::chrono::milliseconds timeout{600'000};
};
// Returns the prediction set directories. Errors: DataError when class names differ between
// checkpoint and data.
std::vector<std::filesystem::path> predict(const PredictOptions& options);

}  // namespace podium::trainer
