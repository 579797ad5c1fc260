// From a recipe and a data set to the samples of a run and how they are read. Read next:
// model_setup.h.
#pragma once

#include <memory>
#include <string>

#include "base/recipe/recipe.h"
#include "data_shards/format/dataset.h"
#include "data_shards/load/loader.h"
#include "data_shards/transform/transforms.h"
#include "trainer/recipe/train_options.h"

namespace podium::trainer {

// The samples of a run and how they are read.
struct TrainData {
  std::shared_ptr<const data_shards::Dataset> dataset;
  data_shards::SampleList train_indices;
  data_shards::SampleList epoch_indices;  // train_indices, each as often as an epoch has it
  data_shards::SampleList val_indices;    // empty: nothing validates
  data_shards::OrderOptions order;        // of an epoch
  std::string folds_digest;               // empty without folds
  std::shared_ptr<const data_shards::TransformPipeline> train_transforms;
  std::shared_ptr<const data_shards::TransformPipeline> eval_transforms;
  data_shards::LoaderOptions train_loader;
  data_shards::LoaderOptions eval_loader;
};
// Errors: RecipeError for transforms whose sizes or channels do not fit; DataError without labels;
// those of Dataset and Folds.
TrainData open_train_data(const Recipe& recipe, const TrainOptions& options, int loader_threads,
                          bool pin_memory);

// The pipeline of data.train_transforms or data.eval_transforms. Errors: RecipeError with the place
// in the recipe.
std::shared_ptr<const data_shards::TransformPipeline> make_transforms(const Recipe& recipe,
                                                                      const std::string& key);
// How validation and prediction read `dataset`. Errors: RecipeError when data.eval_image_member is
// not there.
data_shards::LoaderOptions eval_loader_options(const Recipe& recipe,
                                               const data_shards::Dataset& dataset, int threads,
                                               bool pin_memory, bool skip_bad_samples);

}  // namespace podium::trainer
