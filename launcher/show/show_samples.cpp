// The batches of an epoch's first steps, mixed as the training loop mixes them, and a caption for
// each sample.
#include "launcher/show/show_samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "base/text.h"
#include "data_shards/load/loader.h"
#include "data_shards/mix/mix.h"
#include "data_shards/mix/mix_recipe.h"
#include "data_shards/plan/sampler.h"
#include "launcher/show/show_grid.h"
#include "trainer/recipe/data_setup.h"
#include "trainer/recipe/recipe_schema.h"
#include "trainer/recipe/train_options.h"
#include "trainer/recipe/train_settings.h"

namespace podium::launcher {
namespace {

using data_shards::Batch;
using data_shards::MicroBatchPlan;
using data_shards::MixDraw;
using data_shards::Task;

// All that the samples of a run depend on.
struct Source {
  Recipe recipe;
  trainer::TrainSettings settings;
  trainer::TrainData data;
  data_shards::MixOptions mix;
  int64_t steps_per_epoch = 0;
  std::vector<MicroBatchPlan> plans;

  const data_shards::Dataset& dataset() const { return *data.dataset; }
};

Source open_source(const ShowOptions& options) {
  Source source{
      Recipe::load(options.recipe, trainer::recipe_schema(), options.overrides), {}, {}, {}, 0, {}};
  source.settings = trainer::train_settings(source.recipe);
  trainer::TrainOptions train;
  train.data = options.data;
  train.folds = options.folds;
  train.fold = options.fold;
  source.data = trainer::open_train_data(source.recipe, train, /*loader_threads=*/1,
                                         /*pin_memory=*/false);
  source.mix = data_shards::mix_options(source.recipe, source.dataset(), source.data.train_indices);
  const trainer::TrainSettings& settings = source.settings;
  const data_shards::TrainSampler sampler(source.data.epoch_indices, settings.seed,
                                          settings.logical_workers, settings.grad_accum_steps,
                                          settings.micro_batch_size, source.data.order);
  source.steps_per_epoch = sampler.steps_per_epoch();
  const int64_t num_leaves = settings.logical_workers * settings.grad_accum_steps;
  int64_t num_samples = 0;
  for (int64_t step = 0; step < sampler.steps_per_epoch(); ++step) {
    for (MicroBatchPlan& plan : sampler.plan(options.epoch, step, 0, num_leaves)) {
      if (num_samples >= options.num_samples) return source;
      num_samples += static_cast<int64_t>(plan.indices.size());
      source.plans.push_back(std::move(plan));
    }
  }
  return source;
}

std::string share_text(double share) { return share >= 0.995 ? "" : fmt::format(" {:.2f}", share); }

// Labels with a share of a class vector; what is unknown is counted.
std::string class_text(const at::Tensor& vector, const std::vector<std::string>& classes) {
  std::vector<std::string> there;
  int num_unknown = 0;
  for (size_t k = 0; k < classes.size(); ++k) {
    const auto value = static_cast<double>(vector[static_cast<int64_t>(k)].item<float>());
    if (value < 0) ++num_unknown;
    if (value > 0.005) there.push_back(classes[k] + share_text(value));
  }
  if (there.empty()) there.push_back("none");
  if (num_unknown > 0) there.push_back(fmt::format("{} unknown", num_unknown));
  return join(there, ", ");
}

std::string mask_text(const cv::Mat& mask, const std::vector<std::string>& classes) {
  std::array<int64_t, 256> counts{};
  for (int y = 0; y < mask.rows; ++y) {
    for (int x = 0; x < mask.cols; ++x) ++counts[mask.at<uint8_t>(y, x)];
  }
  std::vector<std::string> there;
  for (size_t k = 0; k < counts.size(); ++k) {
    if (counts[k] == 0) continue;
    const std::string name = k == data_shards::kIgnoreIndex ? "not counted"
                             : k < classes.size()           ? classes[k]
                                                            : std::to_string(k);
    there.push_back(
        fmt::format("{} {:.0f}%", name,
                    100.0 * static_cast<double>(counts[k]) / static_cast<double>(mask.total())));
  }
  return join(there, ", ");
}

cv::Mat mask_of(const at::Tensor& mask) {
  const at::Tensor values = mask.contiguous();
  cv::Mat result(static_cast<int>(mask.size(0)), static_cast<int>(mask.size(1)), CV_8UC1);
  std::transform(values.const_data_ptr<int64_t>(),
                 values.const_data_ptr<int64_t>() + values.numel(), result.data,
                 [](int64_t value) { return static_cast<uint8_t>(value); });
  return result;
}

std::string target_text(const Source& source, const at::Tensor& target, const cv::Mat& mask) {
  const std::vector<std::string>& classes = source.dataset().classes();
  if (source.dataset().task() == Task::kSegmentation) return mask_text(mask, classes);
  if (target.dim() == 1) return class_text(target, classes);
  return classes[static_cast<size_t>(target.item<int64_t>())];
}

void add_samples(const Source& source, const MicroBatchPlan& plan, const Batch& batch,
                 std::vector<GridCell>* cells) {
  const at::Tensor& images = batch.images;
  const Task task = source.dataset().task();
  const at::Tensor& targets = task == Task::kMultiLabel    ? batch.class_vectors
                              : task == Task::kSingleLabel ? batch.class_indices
                                                           : batch.masks;
  MixDraw draw;
  if (source.mix.is_on(plan.epoch)) {
    const int64_t step = plan.epoch * source.steps_per_epoch + plan.step;
    draw = data_shards::draw_mix(
        source.mix, {static_cast<int>(images.size(2)), static_cast<int>(images.size(3))},
        batch.masks,
        Rng(source.settings.seed, RandomPurpose::kMix, static_cast<uint64_t>(step),
            static_cast<uint64_t>(plan.leaf)));
  }
  const data_shards::Mixed mixed =
      data_shards::apply_mix(draw, task, source.dataset().num_classes(), images, targets);
  for (int64_t i = 0; i < batch.size(); ++i) {
    const auto slot = static_cast<size_t>(i);
    GridCell cell;
    cell.image = source.data.train_transforms->to_bytes(mixed.images[i]);
    if (task == Task::kSegmentation) cell.mask = mask_of(mixed.targets[i]);
    cell.caption = {batch.keys[slot], target_text(source, mixed.targets[i], cell.mask)};
    if (draw.mixing) {
      const std::string& partner = batch.keys[batch.keys.size() - 1 - slot];
      cell.caption.push_back(draw.mixing->text(draw, slot, partner, source.dataset().classes()));
    }
    cells->push_back(std::move(cell));
  }
}

}  // namespace

cv::Mat show_samples(const ShowOptions& options) {
  const Source source = open_source(options);
  auto plan = source.plans.begin();
  data_shards::Loader loader(
      source.data.dataset, source.data.train_transforms,
      [&]() -> std::optional<MicroBatchPlan> {
        return plan == source.plans.end() ? std::nullopt : std::optional(*plan++);
      },
      /*is_training=*/true, source.data.train_loader);
  std::vector<GridCell> cells;
  for (const MicroBatchPlan& of_batch : source.plans) {
    const std::optional<Batch> batch = loader.next();
    if (!batch) break;
    add_samples(source, of_batch, *batch, &cells);
  }
  cells.resize(std::min(cells.size(), static_cast<size_t>(options.num_samples)));
  const bool has_masks = source.dataset().task() == Task::kSegmentation;
  std::vector<std::string> names;
  for (const PartSpec& op : source.recipe.get_ops("data.train_transforms"))
    names.push_back(op.name);
  const std::string title = fmt::format("{}, epoch {}: {}", options.recipe.filename().string(),
                                        options.epoch + 1, join(names, ", "));
  return draw_grid(title, cells,
                   has_masks ? source.dataset().classes() : std::vector<std::string>());
}

}  // namespace podium::launcher
