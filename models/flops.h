// Parameters and multiply-adds of a model, counted without computing. Read next: registry.h.
#pragma once

#include <cstdint>

#include "models/interface/vision_model.h"

namespace podium::models {

struct ModelCost {
  int64_t num_parameters = 0;
  // Multiply-adds of one image of the default size in convolutions, matrix products and attention
  // (both products); norms, activations, pooling and resampling are not counted.
  int64_t num_multiply_adds = 0;
};

// Runs the model on shapes alone. image_size 0: the model's own.
ModelCost count_cost(const ModelOptions& options);

}  // namespace podium::models
