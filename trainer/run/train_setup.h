// From a recipe and a data set to the parts of a run: process settings, samples, transforms, model.
// Read next: train_loop.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/recipe/recipe.h"
#include "data_shards/format/dataset.h"
#include "data_shards/load/loader.h"
#include "data_shards/transform/transforms.h"
#include "models/interface/vision_model.h"
#include "distributed/communicator.h"
#include "trainer/optimizers/optimizer.h"
#include "trainer/recipe/recipe_schema.h"
#include "trainer/run/train.h"

namespace podium::trainer {

// What a model's outputs mean; rides from the training data to every later use of the weights.
struct ClassInfo {
  data_shards::Task task = data_shards::Task::kMultiLabel;
  std::vector<std::string> classes;  // (K)
  std::string class_hash;
  bool is_binary_mask = false;  // masks of two classes with one logit (bce)

  int64_t num_classes() const { return static_cast<int64_t>(classes.size()); }
  int64_t num_logits() const { return is_binary_mask ? 1 : num_classes(); }
};

// Threads of this worker.
struct ThreadCounts {
  int cores = 1;    // that this process may use
  int compute = 1;  // libtorch's intra-op threads
  int loader = 1;
};

// Memory that tensors of the host give back stays with the process for those of the next step;
// otherwise the kernel hands out and clears hundreds of MiB again in each step.
void keep_freed_memory();

// `compute_threads` intra-op threads, whatever the number of workers or cores, and deterministic
// kernels: an operation that has none is an error on the CPU and a warning on a GPU. `is_fastest`
// lifts both: the cores of this node are shared out, unless OMP_NUM_THREADS says otherwise.
ThreadCounts configure_process(const Communicator& communicator, int loader_threads,
                               int compute_threads, bool is_fastest);

// The samples of a run and how they are read.
struct TrainData {
  std::shared_ptr<const data_shards::Dataset> dataset;
  data_shards::SampleList train_indices;
  data_shards::SampleList epoch_indices;  // train_indices, each as often as an epoch has it
  data_shards::SampleList val_indices;    // empty: nothing validates
  data_shards::OrderOptions order;        // of an epoch
  std::string folds_digest;            // empty without folds
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

// Errors: RecipeError when model.name or loss.name does not fit the task.
ClassInfo class_info(const Recipe& recipe, const data_shards::Dataset& dataset);
// The recipe's model on the host, its parameters from `seed` or, when `read_weights`, from
// model.weights.
std::shared_ptr<models::VisionModel> build_model(const Recipe& recipe, const ClassInfo& info,
                                                 int64_t channels, bool read_weights);

// Turns off the gradients of model.frozen's parameters; batch norms that are frozen whole normalise
// with their running statistics, which stay. Errors: RecipeError for a name that nothing has, with
// the nearest, and when nothing is left to train.
void freeze_parameters(const Recipe& recipe, models::VisionModel& model);
// Recomputation and memory order of train.recompute and train.channels_last.
void configure_model(const TrainSettings& settings, models::VisionModel& model);
// Weight decay and layer-wise learning rates of the recipe's optimizer for this model.
GroupOptions group_options(const Recipe& recipe, models::VisionModel& model);
// What is frozen and how far learning rates fall by layer, in one line for the log; "" where
// everything learns alike.
std::string training_note(const models::VisionModel& model,
                          const std::vector<ParameterGroup>& groups);

// Runs `work` on rank 0 and returns its text on all ranks; an Error of rank 0 is thrown on every
// rank. Collective: all ranks, same order; blocks.
std::string on_rank_zero(Communicator& communicator, const std::function<std::string()>& work);

}  // namespace podium::trainer
