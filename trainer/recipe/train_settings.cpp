#include "trainer/recipe/train_settings.h"

#include <fmt/format.h>

#include <bit>

namespace podium::trainer {
namespace {

constexpr double kMaxCount = 1e9;

}  // namespace

void add_run_keys(Schema* schema) {
  schema->add_int("train.epochs", 20, "epochs", 1, kMaxCount, "passes over the training samples");
  schema->add_int(
      "train.micro_batch_size", 4, "samples", 1, kMaxCount,
      "samples per backward pass; an update sees logical_workers * grad_accum_steps * this");
  schema->add_int("train.grad_accum_steps", 1, "backward passes", 1, kMaxCount,
                  "backward passes of each logical worker per update");
  schema->add_int("train.compute_threads", 1, "threads", 1, 4096,
                  "libtorch's threads of a worker on CPUs: kernels cut their sums by thread, so it "
                  "belongs to the recipe, not to the machine; more workers use more cores");
  schema->add_float("train.clip_grad_norm", 0.0, "", 0, 1e30,
                    "largest L2 norm of the gradient of an update; 0: off");
  schema->add_string(
      "train.precision", "fp32",
      "type of matrix products and convolutions; parameters and loss stay fp32; fp16 "
      "scales the loss and leaves out updates that overflow",
      {"fp32", "bf16", "fp16"});
  schema->add_string("train.recompute", "none",
                     "blocks: what happens inside the blocks of the model is not kept for the "
                     "backward pass but computed again there: less memory, one more forward pass "
                     "of the blocks, the same bits",
                     {"none", "blocks"});
  schema->add_bool(
      "train.channels_last", false,
      "images and convolution weights with the channels of a pixel side by side, which "
      "GPUs may compute faster; sums in another order");
  schema->add_float("train.ema_decay", 0.0, "per step", 0, 1,
                    "decay of the moving average of the weights; 0: none is kept");
  schema->add_int(
      "train.state_check_every_steps", 100, "steps", 0, kMaxCount,
      "updates between comparisons of the whole state over the workers, also made after "
      "each epoch and before each checkpoint; 0: off");

  schema->add_int("eval.batch_size", 32, "samples", 1, kMaxCount,
                  "samples per forward pass of one worker");
  schema->add_int("eval.every_epochs", 1, "epochs", 1, kMaxCount,
                  "validate after every so many epochs, and after the last");
  schema->add_bool("eval.use_ema", true,
                   "validate and predict with the moving average where train.ema_decay keeps one");

  schema->add_float("checkpoint.every_minutes", 10.0, "minutes", 0, 1e6,
                    "time between checkpoints; 0: off");
  schema->add_int("checkpoint.every_steps", 0, "steps", 0, kMaxCount,
                  "updates between checkpoints; 0: off");
  schema->add_int("checkpoint.keep", 2, "checkpoints", 1, kMaxCount,
                  "newest checkpoints that stay on disk");
  schema->add_int("checkpoint.keep_every_steps", 0, "steps", 0, kMaxCount,
                  "updates between checkpoints that stay for good; 0: off");
  schema->add_int("checkpoint.keep_every_epochs", 0, "epochs", 0, kMaxCount,
                  "epochs between checkpoints, of the epoch's last update, that stay for good; 0: "
                  "off");
  schema->add_int("log.every_steps", 10, "steps", 1, kMaxCount,
                  "updates between lines of metrics.jsonl");
}

TrainSettings train_settings(const Recipe& recipe) {
  TrainSettings settings;
  settings.seed = static_cast<uint64_t>(recipe.get_int("seed"));
  settings.logical_workers = recipe.get_int("logical_workers");
  if (!std::has_single_bit(static_cast<uint64_t>(settings.logical_workers))) {
    recipe.fail("logical_workers",
                fmt::format("expected a power of two, found {}", settings.logical_workers));
  }
  settings.epochs = recipe.get_int("train.epochs");
  settings.micro_batch_size = recipe.get_int("train.micro_batch_size");
  settings.grad_accum_steps = recipe.get_int("train.grad_accum_steps");
  settings.compute_threads = static_cast<int>(recipe.get_int("train.compute_threads"));
  settings.is_recomputed = recipe.get_string("train.recompute") == "blocks";
  if (settings.is_recomputed && recipe.get_string("model.batch_norm") == "sync") {
    recipe.fail("train.recompute",
                "blocks cannot be run again with model.batch_norm: sync, whose statistics are "
                "exchanged in the forward pass; set it to none, or use ghost batch norms");
  }
  settings.is_channels_last = recipe.get_bool("train.channels_last");
  settings.clip_grad_norm = recipe.get_float("train.clip_grad_norm");
  settings.precision = recipe.get_string("train.precision");
  settings.batch_norm = recipe.get_string("model.batch_norm");
  settings.batch_norm_samples = recipe.get_int("model.batch_norm_samples");
  settings.ema_decay = recipe.get_float("train.ema_decay");
  settings.eval_batch_size = recipe.get_int("eval.batch_size");
  settings.eval_every_epochs = recipe.get_int("eval.every_epochs");
  settings.is_ema_evaluated = recipe.get_bool("eval.use_ema");
  settings.checkpoint_minutes = recipe.get_float("checkpoint.every_minutes");
  settings.checkpoint_steps = recipe.get_int("checkpoint.every_steps");
  settings.checkpoint_keep = recipe.get_int("checkpoint.keep");
  settings.state_check_steps = recipe.get_int("train.state_check_every_steps");
  settings.keep_every_steps = recipe.get_int("checkpoint.keep_every_steps");
  settings.keep_every_epochs = recipe.get_int("checkpoint.keep_every_epochs");
  settings.log_steps = recipe.get_int("log.every_steps");
  return settings;
}

}  // namespace podium::trainer
