// `podium train`: one run, the same program for one and for many workers. Read next:
// ../step/train_loop.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "trainer/recipe/train_options.h"

namespace podium::trainer {

struct TrainResult {
  int64_t epochs = 0;
  int64_t steps = 0;
  std::map<std::string, double> metrics;  // of the last evaluation: "val_loss", "val_map" ...
  std::filesystem::path oof_predictions;  // empty without validation samples
};

// Errors: RecipeError, DataError, IoError, DistributedError, DivergedError (with epoch, step and
// loss), InterruptedError.
TrainResult train(const TrainOptions& options);

}  // namespace podium::trainer
