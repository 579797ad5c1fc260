// Keys of mixing, and what they switch on.
#include "data_shards/mix/mix_recipe.h"

#include <algorithm>
#include <string>
#include <vector>

#include "data_shards/mix/mix.h"

namespace podium::data_shards {
namespace {

constexpr const char* kPrefix = "mix.";

void add_keys_of(const MixRow& row, Schema* schema) {
  for (Field field : row.parameters.fields()) {
    field.key = kPrefix + field.key;
    field.parts = {row.name};
    if (row.since != kFirstVersion) field.since = row.since;
    schema->add(std::move(field));
  }
}

std::vector<double> class_pixels(const Dataset& dataset, const SampleList& train_indices) {
  std::vector<double> pixels(static_cast<size_t>(dataset.num_classes()), 0);
  for (const int64_t index : train_indices) {
    const std::vector<int64_t> of_sample = dataset.sample(index).mask_pixels;
    for (size_t k = 0; k < std::min(pixels.size(), of_sample.size()); ++k) {
      pixels[k] += static_cast<double>(of_sample[k]);
    }
  }
  return pixels;
}

}  // namespace

void add_mix_keys(Schema* schema) {
  for (const MixRow& row : mix_table().rows()) {
    if (row.is_alternative) add_keys_of(row, schema);
  }
  schema->add_float("mix.probability", 1.0, "", 0, 1, "of mixup or CutMix, per micro-batch");
  schema->add_float("mix.switch_probability", 0.5, "", 0, 1,
                    "of CutMix instead of mixup where both are on");
  for (const MixRow& row : mix_table().rows()) {
    if (!row.is_alternative) add_keys_of(row, schema);
  }
  schema->add_int("mix.last_epoch", 0, "epochs", 0, 1e9,
                  "mixing ends after so many epochs; 0: with the run");
}

MixOptions mix_options(const Recipe& recipe, const Dataset& dataset,
                       const SampleList& train_indices) {
  MixSetting setting;
  setting.task = dataset.task();
  setting.num_classes = dataset.num_classes();
  setting.class_pixels = [&] { return class_pixels(dataset, train_indices); };
  setting.refuse = [&](const std::string& key, const std::string& message) {
    recipe.fail(kPrefix + key, message);
  };
  MixOptions options;
  options.probability = recipe.get_float("mix.probability");
  options.switch_probability = recipe.get_float("mix.switch_probability");
  options.last_epoch = recipe.get_int("mix.last_epoch");
  for (const MixRow& row : mix_table().rows()) {
    add_mixing(row.name, recipe.get_part(kPrefix, row).parameters, setting, &options);
  }
  if (options.is_on(0) && recipe.get_int("train.micro_batch_size") < 2) {
    recipe.fail("train.micro_batch_size",
                "1 sample has no partner to be mixed with; give 2 or more, or switch mixing off");
  }
  return options;
}

}  // namespace podium::data_shards
