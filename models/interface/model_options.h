// What a recipe chooses of a model. Needs no libtorch. Read next: vision_model.h, model_row.h,
// ../heads/head_table.h.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "base/recipe/part.h"

namespace podium::models {

enum class ModelTask { kClassification, kSegmentation };

struct ModelOptions {
  std::string name = "resnet50";
  // One of head_table() and values for its keys; those that are not given have their default.
  // Models that bring their own head: "linear".
  PartSpec head{"linear", nlohmann::json::object()};
  int64_t num_classes = 1;  // 0: no head, the logits are the pooled features
  int64_t in_channels = 3;
  double drop_rate = 0.0;       // dropout before a linear head, in [0, 1)
  double drop_path_rate = 0.0;  // stochastic depth of the last block, in [0, 1); rises linearly
  int64_t image_size = 0;       // px, for which tables of positions are made; 0: the model's own
  int64_t window_size = 0;      // patches, of window attention; 0: the model's own
  std::string pool;             // how tokens become features; "": the model's own
  // Whose behaviour is followed where definitions of one model differ: one of ModelRow::namings;
  // "": the first.
  std::string naming;
  // For forward_pyramid() alone: what only follows its last map is left out. Requires: num_classes
  // is 0; nothing else is called forward.
  bool is_encoder = false;
  // false: heads that attend to the map read it before the norm behind the last block, which is
  // left out. Requires: num_classes is 0.
  bool has_last_norm = true;
};

}  // namespace podium::models
