// Every refusal names the recipe key and its place.
#include "trainer/recipe/data_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "base/text.h"
#include "data_shards/decode/decoded_cache.h"
#include "data_shards/pack/stage.h"
#include "data_shards/plan/repeat_sampling.h"
#include "data_shards/plan/splits.h"

namespace podium::trainer {

using data_shards::Dataset;
using data_shards::LoaderOptions;
using data_shards::Task;
using data_shards::TransformPipeline;

namespace {

void check_transforms(const Recipe& recipe, const TransformPipeline& train,
                      const TransformPipeline& eval) {
  if (train.output_size()[0] == 0) {
    recipe.fail("data.train_transforms",
                "image sizes may differ within a batch; add resize or a crop with a fixed size");
  }
  if (eval.output_size()[0] == 0 && recipe.get_int("eval.batch_size") != 1) {
    recipe.fail("data.eval_transforms",
                "image sizes may differ within a batch; add resize or center_crop, or set "
                "eval.batch_size: 1");
  }
  if (eval.has_batch_choices()) {
    recipe.fail("data.eval_transforms",
                "multi_scale draws sizes, so no two evaluations would be the same; use resize");
  }
  if (train.channels() != eval.channels()) {
    recipe.fail("data.eval_transforms",
                fmt::format("images have {} channels, but data.train_transforms gives {}",
                            eval.channels(), train.channels()));
  }
}

void require_labels(const Dataset& dataset, const data_shards::SampleList& indices) {
  if (!dataset.has_labels()) {
    throw DataError(fmt::format("{} has no labels to train on; pack a labelled data set",
                                dataset.directory().string()));
  }
  if (dataset.task() != Task::kSingleLabel) return;
  for (const int64_t index : indices) {
    if (dataset.class_index(index) < 0) {
      throw DataError(
          fmt::format("{}: sample \"{}\" has no class; remove it, or label it and repack",
                      dataset.directory().string(), dataset.key(index)));
    }
  }
}

std::vector<std::string> known_members(const Recipe& recipe, const Dataset& dataset,
                                       const std::string& key,
                                       const std::vector<std::string>& wanted) {
  const std::vector<std::string>& there = dataset.image_members();
  for (const std::string& name : wanted) {
    if (std::find(there.begin(), there.end(), name) != there.end()) continue;
    recipe.fail(key, fmt::format("no image \"{}\" in {}{}; its samples have {}", name,
                                 dataset.directory().string(), did_you_mean(name, there),
                                 join(there, ", ")));
  }
  return wanted;
}

}  // namespace

std::shared_ptr<const TransformPipeline> make_transforms(const Recipe& recipe,
                                                         const std::string& key) {
  return with_context(fmt::format("{}: {}", recipe.place(key), key), [&] {
    return std::make_shared<const TransformPipeline>(recipe.get_ops(key));
  });
}

// The image of a pair that test sets have too; empty where there are no pairs.
std::string low_resolution_member(const Dataset& dataset) {
  for (const std::string& member : dataset.image_members()) {
    if (member.rfind("lr.", 0) == 0) return member;
  }
  return {};
}

LoaderOptions eval_loader_options(const Recipe& recipe, const Dataset& dataset, int threads,
                                  bool pin_memory, bool skip_bad_samples) {
  LoaderOptions options;
  options.seed = static_cast<uint64_t>(recipe.get_int("seed"));
  options.num_threads = threads;
  options.pin_memory = pin_memory;
  options.skip_bad_samples = skip_bad_samples;
  options.image_policy = data_shards::ImagePolicy::kFirst;
  std::string member = recipe.get_string("data.eval_image_member");
  const std::vector<std::string> trained = recipe.get_strings("data.image_members");
  if (member.empty()) member = trained.empty() ? low_resolution_member(dataset) : trained.front();
  if (!member.empty()) {
    options.image_members = known_members(recipe, dataset, "data.eval_image_member", {member});
  }
  return options;
}

namespace {

std::shared_ptr<data_shards::DecodedCache> open_cache(const Recipe& recipe,
                                                      std::shared_ptr<const Dataset> dataset) {
  const std::string kind = recipe.get_string("data.cache");
  const std::string folder = recipe.get_string("data.cache_dir");
  if (folder.empty() == (kind == "disk")) {
    recipe.fail("data.cache_dir", fmt::format("data.cache is {}: {}", kind,
                                              kind == "disk" ? "name a folder on a local disk"
                                                             : "only disk has a folder"));
  }
  if (kind == "none") return nullptr;
  data_shards::DecodedCacheOptions options;
  options.directory = folder;
  options.max_bytes = std::llround(recipe.get_float("data.cache_gb") * 1024 * 1024 * 1024);
  return std::make_shared<data_shards::DecodedCache>(std::move(dataset), options);
}

}  // namespace

TrainData open_train_data(const Recipe& recipe, const TrainOptions& options, int loader_threads,
                          bool pin_memory) {
  TrainData data;
  data.train_transforms = make_transforms(recipe, "data.train_transforms");
  data.eval_transforms = make_transforms(recipe, "data.eval_transforms");
  check_transforms(recipe, *data.train_transforms, *data.eval_transforms);

  data.dataset = Dataset::open(options.stage.empty()
                                   ? options.data
                                   : data_shards::stage_dataset(options.data, options.stage));
  if (options.folds.empty()) {
    data.train_indices = data_shards::SampleList::range(0, data.dataset->size());
  } else {
    const data_shards::Folds folds = data_shards::Folds::load(options.folds);
    with_context(options.folds.string(), [&] {
      data.train_indices = folds.train_indices(*data.dataset, options.fold);
      data.val_indices = folds.val_indices(*data.dataset, options.fold);
    });
    data.folds_digest = xxh3_128_hex_of_file(options.folds);
  }
  require_labels(*data.dataset, data.train_indices);
  require_labels(*data.dataset, data.val_indices);

  data_shards::RepeatOptions repeat;
  repeat.balance = data_shards::parse_balance(recipe.get_string("data.balance"));
  repeat.repeats = recipe.get_int("data.repeats");
  repeat.threshold = recipe.get_float("data.balance_threshold");
  repeat.largest_factor = recipe.get_float("data.balance_largest_factor");
  data.epoch_indices = data_shards::repeat_indices(*data.dataset, data.train_indices, repeat,
                                                   static_cast<uint64_t>(recipe.get_int("seed")));

  data.order.order = data_shards::parse_order(recipe.get_string("data.order"));
  data.order.block_samples = recipe.get_int("data.block_samples");
  data.order.window_blocks = recipe.get_int("data.window_blocks");

  data.eval_loader = eval_loader_options(recipe, *data.dataset, loader_threads, pin_memory,
                                         options.skip_bad_samples);
  if (options.uses_pread) data.eval_loader.reader = data_shards::ReaderKind::kPread;
  data.eval_loader.cache = open_cache(recipe, data.dataset);
  data.train_loader = data.eval_loader;
  data.train_loader.reads_neighbours = data.order.order == data_shards::SampleOrder::kBlocks;
  if (recipe.get_string("data.image_policy") == "random") {
    data.train_loader.image_policy = data_shards::ImagePolicy::kRandom;
  }
  std::vector<std::string> members = recipe.get_strings("data.image_members");
  const std::string low = low_resolution_member(*data.dataset);
  if (members.empty() && !low.empty() &&
      data.train_loader.image_policy == data_shards::ImagePolicy::kFirst) {
    members = {low};
  }
  data.train_loader.image_members =
      known_members(recipe, *data.dataset, "data.image_members", members);
  return data;
}

}  // namespace podium::trainer
