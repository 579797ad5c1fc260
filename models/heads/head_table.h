// The table of heads for any backbone: those that attend to its feature map, and those that predict
// maps from its pyramid. Needs no libtorch. Read next: ml_decoder.h, q2l.h, fpn.h.
//
// A new head is one file and one row: the file defines its model (or its MapHead) and a function of
// type CreateHead.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/recipe/table.h"
#include "models/interface/model_options.h"

namespace podium::models {

class VisionModel;

// `body` with the head options.head: the same module, or one around it.
// Requires: `body` was built with num_classes 0, for a segmentation head with is_encoder; all keys
// of the head are given and in their ranges. Errors: UsageError when the body brings its own head,
// and for values that do not fit it.
using CreateHead = std::shared_ptr<VisionModel>(std::shared_ptr<VisionModel> body,
                                                const ModelOptions& options);

struct HeadRow : PartInfo {
  ModelTask task = ModelTask::kClassification;  // of a classifier's backbone with this head
  bool reads_normed_map = true;  // whether it reads the map behind the backbone's last norm
  CreateHead* create = nullptr;  // null: the backbone brings it
};

const Table<HeadRow>& head_table();
// The head `name` with those of `values` that are its own, for ModelOptions::head. `values` are by
// key ("dim") and may have the keys of all heads, as a recipe has: sizes of other heads have to be
// at their default, rates of dropout are ignored.
// Errors: UsageError for an unknown head and such a size.
PartSpec choose_head(const std::string& name, const nlohmann::json& values);
// Names of all heads' own keys.
std::vector<std::string> head_keys();
// options.head with the defaults of the keys that are not given. Errors: UsageError for an unknown
// head and for values out of range.
PartSpec complete_head(const ModelOptions& options);

}  // namespace podium::models
