// One line of the registry: a model's facts and how it is built. Each family lists its own in a
// function `FAMILY_entries()` beside its layers; registry.cpp joins them. Read next: registry.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "models/interface/vision_model.h"

namespace podium::models {

using ModelBuilder = std::shared_ptr<VisionModel> (*)(const ModelOptions&);

// A published way to name (and sometimes to fuse) a model's parameters, besides the model's own.
struct Naming {
  std::string name;  // "timm", "transformers", "torchvision", "official"
  // Names of which files in this naming have one. An earlier naming may have it too: the last one
  // that fits is taken.
  std::vector<std::string> keys;
  // To the model's own names and back; null: they are these. Names of attached heads pass through.
  StateDict (*to_own)(const StateDict&) = nullptr;
  StateDict (*from_own)(const StateDict&) = nullptr;
  // Gradients by the model's own names to the naming's; null: as from_own.
  StateDict (*gradients_from_own)(const StateDict&) = nullptr;
};

struct RegistryEntry {
  ModelInfo info;
  ModelBuilder build = nullptr;
  std::vector<Naming> namings = {};  // the first is the model's own; empty: it has one
};
using RegistryEntries = std::vector<RegistryEntry>;

// The row of a family's table whose member `name` is this one. Errors: InternalError for others.
template <typename Rows>
const auto& find_row(const Rows& rows, const std::string& name) {
  for (const auto& row : rows) {
    if (row.name == name) return row;
  }
  throw InternalError("no model of the family is called " + name);
}

}  // namespace podium::models
