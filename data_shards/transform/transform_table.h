// The table of transforms, which a recipe's operation lists name. Needs no libtorch. Read next:
// transform_steps.h (what an op is), transform_ops.cpp (the smallest ones).
//
// A new transform is one file and one row: the file defines its op and a function of type
// CreateTransform.
#pragma once

#include <memory>

#include "base/recipe/table.h"

namespace podium::data_shards {

class TransformOp;
struct BatchKey;

// Errors: RecipeError "transform NAME: ...".
using CreateTransform = std::unique_ptr<TransformOp>(const PartSpec& spec);
// The transform with the choice made that a micro-batch shares. Random: kBatchSize, keyed by the
// micro-batch.
using ChooseForBatch = PartSpec(const PartSpec& spec, const BatchKey& key);

struct TransformRow : PartInfo {
  CreateTransform* create = nullptr;           // null: no step of its own (normalize)
  ChooseForBatch* choose_for_batch = nullptr;  // null: it has no choice that a micro-batch shares
};

const Table<TransformRow>& transform_table();

}  // namespace podium::data_shards
