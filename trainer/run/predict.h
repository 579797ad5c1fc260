// `podium predict`: the weights of finished runs on a data set. Read next: ../evaluate/evaluate.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace podium::trainer {

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
