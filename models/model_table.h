// The table of models. Needs no libtorch. Read next: interface/model_row.h, registry.h.
#pragma once

#include <string>

#include "base/recipe/table.h"
#include "models/interface/model_row.h"

namespace podium::models {

// All models, sorted by name.
const Table<ModelRow>& model_table();
// Errors: UsageError "unknown model \"resnet5\" (did you mean \"resnet50\"?); podium models lists
// them".
const ModelRow& find_model(const std::string& name);

}  // namespace podium::models
