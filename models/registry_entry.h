// One line of the registry: a model's facts and how it is built. Each family lists its own in a
// function `FAMILY_entries()` beside its layers; registry.cpp joins them. Read next: registry.h.
#pragma once

#include <memory>
#include <vector>

#include "models/vision_model.h"

namespace podium::models {

using ModelBuilder = std::shared_ptr<VisionModel> (*)(const ModelOptions&);

struct RegistryEntry {
  ModelInfo info;
  ModelBuilder build = nullptr;
};
using RegistryEntries = std::vector<RegistryEntry>;

}  // namespace podium::models
