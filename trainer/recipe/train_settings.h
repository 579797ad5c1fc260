// What the training loop reads of a recipe, as a plain struct, and the keys for it. Read next:
// ../step/train_loop.h.
#pragma once

#include <cstdint>
#include <string>

#include "base/recipe/recipe.h"
#include "base/recipe/schema.h"

namespace podium::trainer {

// The keys train.*, eval.*, checkpoint.* and log.*.
void add_run_keys(Schema* schema);

// The part of a recipe that the loop itself reads.
struct TrainSettings {
  uint64_t seed = 0;
  int64_t logical_workers = 8;
  int64_t epochs = 20;
  int64_t micro_batch_size = 4;       // samples per backward
  int64_t grad_accum_steps = 1;       // backwards per logical worker and step
  int compute_threads = 1;            // libtorch's threads of a worker
  bool is_recomputed = false;         // blocks' activations in the backward pass
  bool is_channels_last = false;      // memory order of images and convolutions
  double clip_grad_norm = 0;          // 0: off
  std::string precision = "fp32";     // "fp32", "bf16", "fp16"
  std::string batch_norm = "ghost";   // "ghost", "frozen", "precise", "sync"
  int64_t batch_norm_samples = 1024;  // precise
  double ema_decay = 0;               // 0: no EMA
  int64_t eval_batch_size = 32;
  int64_t eval_every_epochs = 1;
  bool is_ema_evaluated = true;
  double checkpoint_minutes = 10;  // 0: off
  int64_t checkpoint_steps = 0;    // 0: off
  int64_t checkpoint_keep = 2;
  int64_t state_check_steps = 100;  // 0: off
  int64_t keep_every_steps = 0;     // 0: off
  int64_t keep_every_epochs = 0;    // 0: off
  int64_t log_steps = 10;

  bool has_ema() const { return ema_decay > 0; }
  int64_t global_batch_size() const {
    return logical_workers * grad_accum_steps * micro_batch_size;
  }
};
// Errors: RecipeError when logical_workers is no power of two.
TrainSettings train_settings(const Recipe& recipe);

}  // namespace podium::trainer
