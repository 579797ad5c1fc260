// Builds the parts of a run; every refusal names the recipe key and its place.
#include "trainer/run/train_setup.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/text.h"
#include "data_shards/decode/decoded_cache.h"
#include "data_shards/plan/repeat_sampling.h"
#include "data_shards/plan/splits.h"
#include "data_shards/pack/stage.h"
#include "models/layers/batch_norm.h"
#include "models/interface/layer_numbers.h"
#include "models/weights/naming.h"
#include "models/registry.h"
#include "models/weights/weights.h"

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

void keep_freed_memory() {
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  ::mallopt(M_TRIM_THRESHOLD, -1);  // never
}

ThreadCounts configure_process(const Communicator& communicator, int loader_threads,
                               int compute_threads, bool is_fastest) {
  ThreadCounts threads;
  threads.cores = available_cores();
  const int share = std::max(1, threads.cores / std::max(1, communicator.local_size()));
  if (!is_fastest) {
    at::set_num_threads(compute_threads);
  } else if (std::getenv("OMP_NUM_THREADS") == nullptr) {
    at::set_num_threads(share);
  }
  threads.compute = at::get_num_threads();
  threads.loader = loader_threads > 0 ? loader_threads : share;

  const bool is_cuda = communicator.device().is_cuda();
  at::Context& context = at::globalContext();
  if (!is_cuda) keep_freed_memory();
  // cuBLAS reads this when its first handle is made; without it some products are not repeatable.
  if (is_cuda && !is_fastest) ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
  context.setDeterministicAlgorithms(!is_fastest, /*warn_only=*/is_cuda);
  context.setDeterministicFillUninitializedMemory(false);
  context.setDeterministicCuDNN(!is_fastest);
  context.setBenchmarkCuDNN(is_fastest);
  return threads;
}

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

ClassInfo class_info(const Recipe& recipe, const Dataset& dataset) {
  ClassInfo info;
  info.task = dataset.task();
  info.classes = dataset.classes();
  info.class_hash = dataset.class_hash();
  const bool is_segmentation = info.task == Task::kSegmentation;
  const LossOptions loss = loss_options(recipe, info.task, info.num_classes());
  info.is_binary_mask = is_segmentation && loss.name == "bce";
  const std::string name = recipe.get_string("model.name"), head = recipe.get_string("model.head");
  if ((models::find_task(name, head) == models::ModelTask::kSegmentation) != is_segmentation) {
    recipe.fail(
        "model.name",
        fmt::format("{} is a {} model, but {} is a {} data set; `podium models` lists models",
                    head == "linear" ? name : fmt::format("{} with head {}", name, head),
                    is_segmentation ? "classification" : "segmentation",
                    dataset.directory().string(), data_shards::task_name(info.task)));
  }
  return info;
}

namespace {

// A file's naming tells whose definition its weights were trained with. The recipe says so, because
// predictions are made later without that file.
void check_naming(const Recipe& recipe, const std::string& of_weights) {
  const std::string name = recipe.get_string("model.name");
  const auto& namings = models::find_entry(name).namings;
  if (of_weights.empty() || namings.empty()) return;
  const std::string given = recipe.get_string("model.naming");
  const std::string followed = given.empty() ? namings.front().name : given;
  if (followed == of_weights) return;
  recipe.fail("model.naming",
              fmt::format("{} has the names of {}, but the model follows {}; set model.naming={}",
                          recipe.get_string("model.weights"), of_weights, followed, of_weights));
}

}  // namespace

std::shared_ptr<models::VisionModel> build_model(const Recipe& recipe, const ClassInfo& info,
                                                 int64_t channels, bool read_weights) {
  models::ModelOptions options;
  options.name = recipe.get_string("model.name");
  options.head = recipe.get_string("model.head");
  options.num_classes = info.num_logits();
  options.in_channels = channels;
  options.drop_rate = recipe.get_float("model.drop_rate");
  options.drop_path_rate = recipe.get_float("model.drop_path_rate");
  options.image_size = recipe.get_int("model.image_size");
  options.window_size = recipe.get_int("model.window_size");
  options.pool = recipe.get_string("model.pool");
  options.naming = recipe.get_string("model.naming");
  options.head_options.num_queries = recipe.get_int("model.head_queries");
  options.head_options.dim = recipe.get_int("model.head_dim");
  options.head_options.drop_rate = recipe.get_float("model.head_drop_rate");
  auto model = with_context(recipe.place("model.name"), [&] {
    return models::make_model(options, static_cast<uint64_t>(recipe.get_int("seed")));
  });
  const std::string weights = recipe.get_string("model.weights");
  if (read_weights && !weights.empty()) {
    const std::string prefix = recipe.get_string("model.weights_prefix");
    const models::StateDict tensors = models::load_tensors(weights);
    check_naming(recipe, models::find_naming_of(options.name, tensors, prefix));
    with_context(weights, [&] {
      models::load_state_dict(*model, tensors, {.prefix = prefix, .is_strict = false});
    });
  }
  return model;
}

namespace {

// "blocks.1" holds "blocks.1.norm1.weight", not "blocks.10.norm1.weight".
bool is_inside(const std::string& name, const std::string& part) {
  return name.starts_with(part) && (name.size() == part.size() || name[part.size()] == '.');
}

// All names of modules that have parameters, and of the parameters.
std::vector<std::string> parts_of(const std::vector<std::string>& names) {
  std::set<std::string> parts;
  for (const std::string& name : names) {
    parts.insert(name);
    for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
      parts.insert(name.substr(0, dot));
    }
  }
  return {parts.begin(), parts.end()};
}

}  // namespace

void freeze_parameters(const Recipe& recipe, models::VisionModel& model) {
  const std::vector<std::string> parts = recipe.get_strings("model.frozen");
  if (parts.empty()) return;
  const std::vector<std::string> names = model.named_parameters().keys();
  for (std::string part : parts) {
    if (part.ends_with('.')) part.pop_back();
    size_t num_found = 0;
    for (auto& item : model.named_parameters()) {
      if (!is_inside(item.key(), part)) continue;
      item.value().requires_grad_(false);
      ++num_found;
    }
    if (num_found == 0) {
      recipe.fail("model.frozen",
                  fmt::format("model {} has nothing called \"{}\"{}; `podium models --describe={}` "
                              "shows the names",
                              model.options().name, part, did_you_mean(part, parts_of(names)),
                              model.options().name));
    }
  }
  size_t num_trained = 0;
  for (const torch::Tensor& parameter : model.parameters())
    num_trained += parameter.requires_grad();
  if (num_trained == 0) {
    recipe.fail("model.frozen", fmt::format("all {} parameters of model {} are frozen; leave "
                                            "something to train",
                                            names.size(), model.options().name));
  }
  for (models::BatchNorm2dImpl* norm : models::find_batch_norms(model)) {
    if (!norm->weight.requires_grad() && !norm->bias.requires_grad()) {
      norm->set_mode(models::NormMode::kFrozen);
    }
  }
}

void configure_model(const TrainSettings& settings, models::VisionModel& model) {
  model.recompute_blocks(settings.is_recomputed);
  if (!settings.is_channels_last) return;
  for (torch::Tensor parameter : model.parameters()) {
    if (parameter.dim() != 4) continue;
    parameter.set_data(parameter.detach().contiguous(torch::MemoryFormat::ChannelsLast));
  }
}

GroupOptions group_options(const Recipe& recipe, models::VisionModel& model) {
  GroupOptions options;
  options.weight_decay = recipe.get_float("optimizer.weight_decay");
  options.no_decay_for_norms_and_biases =
      recipe.get_bool("optimizer.no_decay_for_norms_and_biases");
  options.layer_decay = recipe.get_float("optimizer.layer_decay");
  const std::string by_name = recipe.get_string("optimizer.no_decay_by_name");
  if (by_name == "always" || (by_name == "with_layer_decay" && options.layer_decay != 1.0)) {
    options.no_decay_keywords = model.no_decay_keywords();
  }
  if (options.layer_decay != 1.0) {
    const bool is_beit = recipe.get_string("optimizer.layer_decay_rule") == "beit";
    options.layers =
        models::layer_numbers(model, is_beit ? models::LayerRule::kBeit : models::LayerRule::kTimm);
  }
  return options;
}

std::string training_note(const models::VisionModel& model,
                          const std::vector<ParameterGroup>& groups) {
  int64_t num_all = 0, num_frozen = 0;
  for (const torch::Tensor& parameter : model.parameters()) {
    num_all += parameter.numel();
    if (!parameter.requires_grad()) num_frozen += parameter.numel();
  }
  const auto [lowest, highest] = std::minmax_element(
      groups.begin(), groups.end(),
      [](const ParameterGroup& a, const ParameterGroup& b) { return a.lr_scale < b.lr_scale; });
  std::vector<std::string> notes;
  if (num_frozen > 0) notes.push_back(fmt::format("{} of {} are frozen", num_frozen, num_all));
  if (lowest->lr_scale != highest->lr_scale) {
    notes.push_back(fmt::format("learning rates by layer are {:.3g} to {:.3g} times optimizer.lr",
                                lowest->lr_scale, highest->lr_scale));
  }
  return notes.empty() ? "" : "parameters: " + join(notes, "; ");
}

std::string on_rank_zero(Communicator& communicator, const std::function<std::string()>& work) {
  nlohmann::json message = {{"code", 0}, {"text", ""}};
  std::exception_ptr failure;
  if (communicator.rank() == 0) {
    try {
      message["text"] = work();
    } catch (const Error& error) {
      failure = std::current_exception();
      message = {{"code", static_cast<int>(error.exit_code())}, {"text", error.what()}};
    } catch (const std::exception& error) {
      failure = std::current_exception();
      message = {{"code", static_cast<int>(ExitCode::kInternal)}, {"text", error.what()}};
    }
  }
  const bool is_first = communicator.rank() == 0;
  const std::string bytes =
      is_first ? message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) : "";
  const std::string first = communicator.all_gather_bytes(bytes).front();
  if (failure) std::rethrow_exception(failure);
  message = nlohmann::json::parse(first);
  const int code = message.at("code");
  const std::string text = message.at("text");
  if (code != 0) throw Error(static_cast<ExitCode>(code), "rank 0: " + text);
  return text;
}

}  // namespace podium::trainer
