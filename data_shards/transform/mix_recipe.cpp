// Keys of mixing, their checks, and the weights of rare classes.
#include "data_shards/transform/mix_recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace podium::data_shards {
namespace {

constexpr double kMaxAlpha = 1000;

// (pixels of the class)^-rarity, times the given weight. A class that does not occur cannot be
// chosen anyway.
std::vector<double> class_weights(const Recipe& recipe, const Dataset& dataset,
                                  const SampleList& train_indices) {
  const auto num_classes = static_cast<size_t>(dataset.num_classes());
  std::vector<double> weights = recipe.get_floats("mix.classmix_class_weights");
  if (weights.empty()) weights.assign(num_classes, 1.0);
  if (weights.size() != num_classes) {
    recipe.fail("mix.classmix_class_weights",
                fmt::format("{} weights for {} classes; give one for each, or none", weights.size(),
                            num_classes));
  }
  const double rarity = recipe.get_float("mix.classmix_rarity");
  if (rarity <= 0) return weights;
  std::vector<double> pixels(num_classes, 0);
  for (const int64_t index : train_indices) {
    const std::vector<int64_t> of_sample = dataset.sample(index).mask_pixels;
    for (size_t k = 0; k < std::min(num_classes, of_sample.size()); ++k) {
      pixels[k] += static_cast<double>(of_sample[k]);
    }
  }
  for (size_t k = 0; k < num_classes; ++k) {
    weights[k] *= std::pow(std::max(pixels[k], 1.0), -rarity);
  }
  // Only their proportions count; the largest is 1, so that no power of them underflows.
  const double largest = *std::max_element(weights.begin(), weights.end());
  if (largest > 0) {
    for (double& weight : weights) weight /= largest;
  }
  return weights;
}

void check(const Recipe& recipe, const MixOptions& options, Task task) {
  if (!options.is_on(0)) return;
  const bool is_segmentation = task == Task::kSegmentation;
  if (is_segmentation && options.mixup_alpha > 0) {
    recipe.fail("mix.mixup_alpha",
                "masks cannot be averaged; use mix.cutmix_alpha or "
                "mix.classmix_probability");
  }
  if (!is_segmentation && options.classmix_probability > 0) {
    recipe.fail("mix.classmix_probability",
                fmt::format("it needs masks, but the data set is {}; use mix.mixup_alpha or "
                            "mix.cutmix_alpha",
                            task_name(task)));
  }
  if (recipe.get_int("train.micro_batch_size") < 2) {
    recipe.fail("train.micro_batch_size",
                "1 sample has no partner to be mixed with; give 2 or more, or switch mixing off");
  }
}

}  // namespace

void add_mix_keys(Schema* schema) {
  schema->add_float("mix.mixup_alpha", 0.0, "", 0, kMaxAlpha,
                    "mixup: both samples' shares come from Beta(this, this); 0: off");
  schema->add_float("mix.cutmix_alpha", 0.0, "", 0, kMaxAlpha,
                    "CutMix: the share that stays comes from Beta(this, this); 0: off");
  schema->add_float("mix.probability", 1.0, "", 0, 1, "of mixup or CutMix, per micro-batch");
  schema->add_float("mix.switch_probability", 0.5, "", 0, 1,
                    "of CutMix instead of mixup where both are on");
  schema->add_float("mix.classmix_probability", 0.0, "", 0, 1,
                    "masks: of ClassMix, per micro-batch where CutMix was not chosen; 0: off");
  schema->add_float("mix.classmix_share", 0.5, "share", 0, 1,
                    "ClassMix: part of the partner's classes that is pasted, rounded up");
  Field scale;
  scale.key = "mix.classmix_scale";
  scale.type = FieldType::kFloatList;
  scale.default_value = {1.0, 1.0};
  scale.min = 0.01;
  scale.max = 100;
  scale.help = "ClassMix: enlargement of the pasted objects, [low, high]";
  schema->add(scale);
  schema->add_float("mix.classmix_rarity", 0.0, "", 0, 4,
                    "ClassMix: a class's chance is its number of training pixels to the power of "
                    "minus this; 0: all alike");
  Field weights;
  weights.key = "mix.classmix_class_weights";
  weights.type = FieldType::kFloatList;
  weights.default_value = nlohmann::json::array();
  weights.min = 0;
  weights.max = 1e9;
  weights.help = "ClassMix: factor of each class's chance (0: never pasted); empty: 1 for all";
  schema->add(weights);
  schema->add_int("mix.last_epoch", 0, "epochs", 0, 1e9,
                  "mixing ends after so many epochs; 0: with the run");
}

MixOptions mix_options(const Recipe& recipe, const Dataset& dataset,
                       const SampleList& train_indices) {
  MixOptions options;
  options.mixup_alpha = recipe.get_float("mix.mixup_alpha");
  options.cutmix_alpha = recipe.get_float("mix.cutmix_alpha");
  options.probability = recipe.get_float("mix.probability");
  options.switch_probability = recipe.get_float("mix.switch_probability");
  options.classmix_probability = recipe.get_float("mix.classmix_probability");
  options.classmix_share = recipe.get_float("mix.classmix_share");
  options.last_epoch = recipe.get_int("mix.last_epoch");
  const std::vector<double> scale = recipe.get_floats("mix.classmix_scale");
  if (scale.size() != 2 || scale[0] > scale[1]) {
    recipe.fail("mix.classmix_scale", fmt::format("found [{}]; give [low, high] with low <= high",
                                                  fmt::join(scale, ", ")));
  }
  options.classmix_scale = {scale[0], scale[1]};
  check(recipe, options, dataset.task());
  if (options.classmix_probability > 0) {
    options.class_weights = class_weights(recipe, dataset, train_indices);
  }
  return options;
}

}  // namespace podium::data_shards
