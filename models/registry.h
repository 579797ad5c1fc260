// From a model's name and options to the model. Read next: model_table.h, vision_model.h,
// weights.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "models/interface/vision_model.h"
#include "models/model_table.h"

namespace podium::models {

// What a model does with a head of head_table().
ModelTask find_task(const std::string& name, const std::string& head);
// A model with freshly initialised parameters, drawn by kInit keyed by (seed, parameter name), so
// that they depend neither on construction order nor on libtorch's generator. Distributions are the
// reference's. Errors: UsageError for an unknown model or head, and for options that do not fit.
std::shared_ptr<VisionModel> make_model(const ModelOptions& options, uint64_t seed);
// Without values: for weights that follow, or for shapes alone.
std::shared_ptr<VisionModel> make_uninitialised_model(const ModelOptions& options);

}  // namespace podium::models
