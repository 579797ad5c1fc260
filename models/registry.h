// The list of models. Read next: vision_model.h, weights.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/interface/registry_entry.h"
#include "models/interface/vision_model.h"

namespace podium::models {

// All registered models, sorted by name.
const std::vector<ModelInfo>& list_models();
// Errors: UsageError "unknown model \"resnet5\" (did you mean \"resnet50\"?); podium models lists
// them".
const ModelInfo& find_model(const std::string& name);
const RegistryEntry& find_entry(const std::string& name);
// What a model does with a head of list_heads() (head.h).
ModelTask find_task(const std::string& name, const std::string& head);
// A model with freshly initialised parameters, drawn by kInit keyed by (seed, parameter name), so
// that they depend neither on construction order nor on libtorch's generator. Distributions are the
// reference's.
std::shared_ptr<VisionModel> make_model(const ModelOptions& options, uint64_t seed);
// Without values: for weights that follow, or for shapes alone.
std::shared_ptr<VisionModel> make_uninitialised_model(const ModelOptions& options);

}  // namespace podium::models
