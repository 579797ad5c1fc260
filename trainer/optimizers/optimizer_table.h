// The optimizers that a recipe may name. To add one: a file beside sgd.cpp and a row in
// optimizer_table.cpp. Compiles without libtorch. Read next: optimizer.h.
#pragma once

#include <memory>
#include <vector>

#include "base/recipe/table.h"

namespace podium::trainer {

class Optimizer;
struct ParameterGroup;

struct OptimizerRow : PartInfo {
  // Errors: UsageError when the values do not go together.
  std::unique_ptr<Optimizer> (*create)(const PartSpec& optimizer,
                                       std::vector<ParameterGroup> groups) = nullptr;
};

const Table<OptimizerRow>& optimizer_table();

}  // namespace podium::trainer
