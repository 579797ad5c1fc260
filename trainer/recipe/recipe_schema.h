// Every key of a training recipe: type, default, unit, range and help. For readers:
// docs/recipes.md. Read next: train_settings.h, optimization_keys.h (the values).
#pragma once

#include "base/recipe/schema.h"

namespace podium::trainer {

const Schema& recipe_schema();

}  // namespace podium::trainer
