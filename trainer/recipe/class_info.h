// What a model's outputs mean. Read next: model_setup.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/recipe/recipe.h"
#include "data_shards/format/dataset.h"
#include "trainer/losses/loss_table.h"

namespace podium::trainer {

// What a model's outputs mean; rides from the training data to every later use of the weights.
struct ClassInfo {
  data_shards::Task task = data_shards::Task::kMultiLabel;
  std::vector<std::string> classes;  // (K)
  std::string class_hash;
  bool is_binary_mask = false;  // masks of two classes with one logit
  Activation activation = Activation::kSigmoid;

  int64_t num_classes() const { return static_cast<int64_t>(classes.size()); }
  int64_t num_logits() const { return is_binary_mask ? 1 : num_classes(); }
  // Requires: the task is known.
  void set_loss(const LossRow& loss);
};

// Errors: RecipeError when model.name or loss.name does not fit the task.
ClassInfo class_info(const Recipe& recipe, const data_shards::Dataset& dataset);

}  // namespace podium::trainer
