// The recipe's keys of mixing. For readers: docs/recipes.md. Read next: mix.h.
#pragma once

#include <cstdint>
#include <vector>

#include "base/recipe/recipe.h"
#include "base/recipe/schema.h"
#include "data_shards/format/dataset.h"
#include "data_shards/plan/sample_list.h"

namespace podium::data_shards {

struct MixOptions;

// The keys mix.*.
void add_mix_keys(Schema* schema);

// `train_indices`: the samples whose masks say how rare a class is.
// Errors: RecipeError when a key does not fit the task, the number of classes or
// train.micro_batch_size.
MixOptions mix_options(const Recipe& recipe, const Dataset& dataset,
                       const SampleList& train_indices);

}  // namespace podium::data_shards
