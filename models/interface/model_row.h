// One row of the table of models: a model's facts and how it is built. Each family gives its rows
// in a function of its table (../backbones/families.h). Read next: ../model_table.h.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/recipe/schema.h"
#include "models/interface/model_options.h"
#include "models/layers/state_dict.h"

namespace podium::models {

class VisionModel;

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

// PartInfo's name is timm's where timm has the model: "resnet50".
struct ModelRow : PartInfo {
  std::string family;  // "resnet"
  ModelTask task = ModelTask::kClassification;
  int64_t image_size = 224;  // px, default input
  std::array<float, 3> mean{0.485f, 0.456f, 0.406f};
  std::array<float, 3> std{0.229f, 0.224f, 0.225f};
  std::string naming;             // of the parameter names: "timm, torchvision"
  std::vector<Naming> namings{};  // the first is the model's own; empty: it has one
  std::shared_ptr<VisionModel> (*create)(const ModelOptions&) = nullptr;
};
using ModelRows = std::vector<ModelRow>;

// The row of a family's table whose member `name` is this one. Errors: InternalError for others.
template <typename Rows>
const auto& find_row(const Rows& rows, const std::string& name) {
  for (const auto& row : rows) {
    if (row.name == name) return row;
  }
  throw InternalError("no model of the family is called " + name);
}

}  // namespace podium::models
