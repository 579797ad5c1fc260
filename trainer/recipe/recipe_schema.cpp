// The keys of data and model, and all together. The defaults are those of a ResNet-50 baseline.
#include "trainer/recipe/recipe_schema.h"

#include <fmt/format.h>

#include "base/error.h"
#include "data_shards/mix/mix_recipe.h"
#include "data_shards/plan/epoch_order.h"
#include "data_shards/plan/repeat_sampling.h"
#include "data_shards/transform/transform_table.h"
#include "models/heads/head_table.h"
#include "models/model_table.h"
#include "trainer/recipe/optimization_keys.h"
#include "trainer/recipe/train_settings.h"

namespace podium::trainer {
namespace {

using Json = nlohmann::json;

constexpr double kMaxCount = 1e9;
constexpr double kMaxSeed = 9007199254740992.0;  // 2^53: exact in every JSON reader

// An operation with its defaults but for `given`, as the default of a list takes it.
Json op_with_defaults(const std::string& name, const Json& given) {
  return {{name, part_with_defaults(data_shards::transform_table().at(name), given).parameters}};
}

void add_data_keys(Schema& schema) {
  const std::vector<PartInfo> ops = data_shards::transform_table().parts();
  const Json transforms = Json::array({op_with_defaults("resize", {{"size", {224}}}),
                                       op_with_defaults("normalize", Json::object())});
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
                    models::model_table().names());
  add_part_keys(&schema, "model.head", "linear", "head of a classifier; fpn: it predicts masks",
                "model.head_", models::head_table().parts());
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
    add_optimization_keys(&result);
    add_run_keys(&result);
    return result;
  }();
  return schema;
}

}  // namespace podium::trainer
