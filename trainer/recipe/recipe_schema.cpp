// Every key of a training recipe: type, default, unit, range and help. The defaults are those of a
// ResNet-50 baseline.
#include "trainer/recipe/recipe_schema.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>

#include "base/error.h"
#include "base/text.h"
#include "data_shards/plan/epoch_order.h"
#include "data_shards/transform/mix_recipe.h"
#include "data_shards/plan/repeat_sampling.h"
#include "data_shards/transform/transforms.h"
#include "models/heads/head.h"
#include "models/registry.h"
#include "trainer/losses/loss_table.h"
#include "trainer/optimizers/optimizer_table.h"
#include "trainer/schedules/schedule_table.h"

namespace podium::trainer {
namespace {

using Json = nlohmann::json;
using data_shards::Task;

constexpr double kMaxCount = 1e9;
constexpr double kMaxSeed = 9007199254740992.0;  // 2^53: exact in every JSON reader

// An operation with its defaults but for `given`, as the default of a list takes it.
Json op_with_defaults(const std::vector<PartInfo>& ops, const std::string& name,
                      const Json& given) {
  for (const PartInfo& op : ops) {
    if (op.name == name) return {{name, part_with_defaults(op, given).parameters}};
  }
  throw InternalError(fmt::format("no transform \"{}\"", name));
}

// "a", "a or b", "a, b or c".
std::string alternatives(const std::vector<std::string>& names) {
  if (names.size() < 2) return join(names, "");
  const std::vector<std::string> first(names.begin(), names.end() - 1);
  return join(first, ", ") + " or " + names.back();
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const models::ModelInfo& info : models::list_models()) names.push_back(info.name);
  return names;
}

void add_data_keys(Schema& schema) {
  const std::vector<PartInfo> ops = data_shards::transform_schemas();
  const Json transforms = Json::array({op_with_defaults(ops, "resize", {{"size", {224}}}),
                                       op_with_defaults(ops, "normalize", Json::object())});
  schema.add_op_list("data.train_transforms", transforms,
                     "what is done to each training image, in order", ops);
  schema.add_op_list("data.eval_transforms", transforms,
                     "what is done to each image in validation and prediction, in order", ops);
  Field members;
  members.key = "data.image_members";
  members.type = FieldType::kStringList;
  members.default_value = Json::array();
  members.help = "images of a sample that training reads (\"lr.jpg\"); empty: all of the data set";
  schema.add(members);
  schema.add_string("data.image_policy", "first",
                    "which of a sample's images is the input in training: the first, or one drawn "
                    "per epoch and sample",
                    {"first", "random"});
  schema.add_string(
      "data.eval_image_member", "",
      "image that validation and prediction read; empty: the first of image_members, of pairs "
      "that of low resolution");
  schema.add_string("data.order", "permutation",
                    "order of the training samples in an epoch: any may follow any, or those of a "
                    "few blocks at a time are mixed (for slow disks)",
                    data_shards::order_names());
  schema.add_int("data.block_samples", 256, "", 1, kMaxCount,
                 "blocks: samples that lie side by side in the data set");
  schema.add_int("data.window_blocks", 16, "", 1, kMaxCount,
                 "blocks: how many are mixed with each other at a time");
  schema.add_int("data.repeats", 1, "", 1, kMaxCount,
                 "how often every training sample comes in an epoch");
  schema.add_string(
      "data.balance", "none",
      "more of what is rare: samples are repeated by the rarity of their rarest label "
      "(repeat_factor), or until all classes come equally often (class_balanced)",
      data_shards::balance_names());
  schema.add_float("data.balance_threshold", 0.1, "", 1e-6, 1,
                   "repeat_factor: share of samples below which a label is rare; its samples come "
                   "sqrt(threshold / share) times");
  schema.add_float("data.balance_largest_factor", 10, "", 1, 1e4,
                   "most repetitions of a sample that data.balance makes");
  schema.add_string("data.cache", "none",
                    "keeps decoded images and masks for the epochs to come: ram (of each worker) "
                    "or disk (a file that the workers of a node share); batches stay the same",
                    {"none", "ram", "disk"});
  schema.add_string("data.cache_dir", "", "disk: folder on a local disk of each node");
  schema.add_float("data.cache_gb", 4, "GiB", 0.001, 1e6,
                   "most pixels that are kept, by each worker (ram) or node (disk)");
}

void add_model_keys(Schema& schema) {
  schema.add_string("model.name", "resnet50", "architecture; `podium models` lists them",
                    model_names());
  schema.add_string("model.head", "linear", "head of a classifier; fpn: it predicts masks",
                    models::list_heads());
  schema.add_int("model.head_queries", 0, "", 0, kMaxCount,
                 "ml_decoder: groups of classes; 0: one per class, at most 100");
  schema.add_int("model.head_dim", 0, "", 0, kMaxCount,
                 "width of a decoder head; 0: the published one (q2l: the backbone's)");
  schema.add_float("model.head_drop_rate", 0.1, "", 0, 0.99, "dropout inside a decoder head");
  schema.add_float(
      "model.drop_rate", 0.0, "", 0, 0.99,
      "dropout probability before a linear head; fpn: of whole channels, 0: the published 0.2");
  schema.add_float("model.drop_path_rate", 0.0, "", 0, 0.99,
                   "stochastic depth of the last block; rises linearly from 0 at the first");
  schema.add_int("model.image_size", 0, "px", 0, kMaxCount,
                 "side for which tables of positions are made; 0: the model's own");
  schema.add_int("model.window_size", 0, "patches", 0, kMaxCount,
                 "window attention; 0: the model's own");
  schema.add_string("model.pool", "",
                    "how tokens become features (token, avg, token_avg, last4); empty: the model's "
                    "own");
  schema.add_string("model.naming", "",
                    "whose behaviour is followed where published definitions of a model differ "
                    "(timm, transformers, official); empty: the first that `podium models` names");
  schema.add_string("model.batch_norm", "ghost",
                    "what batch norms train with: ghost: the micro-batch; frozen: the running "
                    "statistics, which stay; precise: ghost, and running statistics are measured "
                    "anew before each evaluation; sync: the batches of all real workers together, "
                    "so that the weights depend on their number",
                    {"ghost", "frozen", "precise", "sync"});
  schema.add_int("model.batch_norm_samples", 1024, "samples", 1, kMaxCount,
                 "precise: training samples that are measured, rounded up to whole updates");
  schema.add_string("model.weights", "",
                    "safetensors file to start from, relative to the current folder; empty: fresh "
                    "parameters drawn from `seed`");
  schema.add_string("model.weights_prefix", "",
                    "only names with this prefix are read, without it (\"encoder.\")");
  Field frozen;
  frozen.key = "model.frozen";
  frozen.type = FieldType::kStringList;
  frozen.default_value = Json::array();
  frozen.help =
      "parts of the model that keep their values, by name (\"patch_embed\", \"blocks.0\"): the "
      "parameter or module of that name; batch norms in it use their running statistics";
  schema.add(frozen);
}

void add_optimization_keys(Schema& schema) {
  add_part_keys(&schema, "loss.name", "bce", "what training minimises; it must fit the data set",
                "loss.", loss_table().parts());

  add_part_keys(&schema, "optimizer.name", "adam", "update rule", "optimizer.",
                optimizer_table().parts());
  schema.add_float(
      "optimizer.lr", 3e-4, "per step", 0, 1e30,
      "base learning rate, for the global batch size of this recipe (no scaling rule)");
  schema.add_float("optimizer.weight_decay", 0.0, "", 0, 1e3,
                   "decoupled in adamw, added to the gradient in sgd and adam");
  schema.add_bool("optimizer.no_decay_for_norms_and_biases", true,
                  "parameters with one dimension get no weight decay");
  schema.add_string(
      "optimizer.no_decay_by_name", "with_layer_decay",
      "weights that the model's public definition trains without weight decay (tables "
      "of positions, class tokens, Swin-v2's logit scales) get none: with "
      "optimizer.layer_decay below 1, always, or never",
      {"with_layer_decay", "always", "never"});
  schema.add_float("optimizer.layer_decay", 1.0, "per layer", 1e-3, 1,
                   "factor of the learning rate from each layer to the one before it, counted from "
                   "the head; 1: all learn alike");
  schema.add_string("optimizer.layer_decay_rule", "timm",
                    "how layers are counted: timm: the norm after the last block belongs to it; "
                    "beit: to the head",
                    {"timm", "beit"});

  add_part_keys(&schema, "schedule.name", "constant", "learning rate over the run", "schedule.",
                schedule_table().parts());
  schema.add_float("schedule.warmup_epochs", 0.0, "epochs", 0, kMaxCount,
                   "linear rise from warmup_lr to optimizer.lr at the start");
  schema.add_float("schedule.warmup_lr", 0.0, "per step", 0, 1e30,
                   "learning rate of the first step of a warm-up");
}

void add_run_keys(Schema& schema) {
  schema.add_int("train.epochs", 20, "epochs", 1, kMaxCount, "passes over the training samples");
  schema.add_int(
      "train.micro_batch_size", 4, "samples", 1, kMaxCount,
      "samples per backward pass; an update sees logical_workers * grad_accum_steps * this");
  schema.add_int("train.grad_accum_steps", 1, "backward passes", 1, kMaxCount,
                 "backward passes of each logical worker per update");
  schema.add_int("train.compute_threads", 1, "threads", 1, 4096,
                 "libtorch's threads of a worker on CPUs: kernels cut their sums by thread, so it "
                 "belongs to the recipe, not to the machine; more workers use more cores");
  schema.add_float("train.clip_grad_norm", 0.0, "", 0, 1e30,
                   "largest L2 norm of the gradient of an update; 0: off");
  schema.add_string("train.precision", "fp32",
                    "type of matrix products and convolutions; parameters and loss stay fp32; fp16 "
                    "scales the loss and leaves out updates that overflow",
                    {"fp32", "bf16", "fp16"});
  schema.add_string("train.recompute", "none",
                    "blocks: what happens inside the blocks of the model is not kept for the "
                    "backward pass but computed again there: less memory, one more forward pass "
                    "of the blocks, the same bits",
                    {"none", "blocks"});
  schema.add_bool("train.channels_last", false,
                  "images and convolution weights with the channels of a pixel side by side, which "
                  "GPUs may compute faster; sums in another order");
  schema.add_float("train.ema_decay", 0.0, "per step", 0, 1,
                   "decay of the moving average of the weights; 0: none is kept");
  schema.add_int("train.state_check_every_steps", 100, "steps", 0, kMaxCount,
                 "updates between comparisons of the whole state over the workers, also made after "
                 "each epoch and before each checkpoint; 0: off");

  schema.add_int("eval.batch_size", 32, "samples", 1, kMaxCount,
                 "samples per forward pass of one worker");
  schema.add_int("eval.every_epochs", 1, "epochs", 1, kMaxCount,
                 "validate after every so many epochs, and after the last");
  schema.add_bool("eval.use_ema", true,
                  "validate and predict with the moving average where train.ema_decay keeps one");

  schema.add_float("checkpoint.every_minutes", 10.0, "minutes", 0, 1e6,
                   "time between checkpoints; 0: off");
  schema.add_int("checkpoint.every_steps", 0, "steps", 0, kMaxCount,
                 "updates between checkpoints; 0: off");
  schema.add_int("checkpoint.keep", 2, "checkpoints", 1, kMaxCount,
                 "newest checkpoints that stay on disk");
  schema.add_int("checkpoint.keep_every_steps", 0, "steps", 0, kMaxCount,
                 "updates between checkpoints that stay for good; 0: off");
  schema.add_int("checkpoint.keep_every_epochs", 0, "epochs", 0, kMaxCount,
                 "epochs between checkpoints, of the epoch's last update, that stay for good; 0: "
                 "off");
  schema.add_int("log.every_steps", 10, "steps", 1, kMaxCount,
                 "updates between lines of metrics.jsonl");
}

}  // namespace

const Schema& recipe_schema() {
  static const Schema schema = [] {
    Schema result;
    result.add_int("seed", 0, "", 0, kMaxSeed, "of every random decision of the run");
    result.add_int(
        "logical_workers", 8, "", 1, 65536,
        "fixed leaves of the gradient sum, a power of two; the number of real workers divides it. "
        "Batch norms see one logical worker's micro-batch");
    add_data_keys(result);
    data_shards::add_mix_keys(&result);
    add_model_keys(result);
    add_optimization_keys(result);
    add_run_keys(result);
    return result;
  }();
  return schema;
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

PartSpec loss_options(const Recipe& recipe, Task task, int64_t num_classes) {
  const LossRow& row = loss_table().at(recipe.get_string("loss.name"));
  if (!row.fits(task, num_classes)) {
    recipe.fail("loss.name",
                fmt::format("\"{}\" does not fit a {} data set with {} classes; use {}", row.name,
                            data_shards::task_name(task), num_classes,
                            alternatives(losses_that_fit(task, num_classes))));
  }
  return recipe.get_part("loss.", row);
}

PartSpec optimizer_options(const Recipe& recipe) {
  return recipe.get_part("optimizer.", optimizer_table().at(recipe.get_string("optimizer.name")));
}

ScheduleOptions schedule_options(const Recipe& recipe, int64_t steps_per_epoch) {
  ScheduleOptions options;
  options.schedule =
      recipe.get_part("schedule.", schedule_table().at(recipe.get_string("schedule.name")));
  options.base_lr = recipe.get_float("optimizer.lr");
  options.warmup_lr = recipe.get_float("schedule.warmup_lr");
  options.total_steps = recipe.get_int("train.epochs") * steps_per_epoch;
  options.warmup_steps = std::llround(recipe.get_float("schedule.warmup_epochs") *
                                      static_cast<double>(steps_per_epoch));
  if (options.warmup_steps > options.total_steps) {
    recipe.fail("schedule.warmup_epochs", fmt::format("{} steps of warm-up, but the run has {}",
                                                      options.warmup_steps, options.total_steps));
  }
  return options;
}

}  // namespace podium::trainer
