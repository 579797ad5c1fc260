// What must hold of every prediction set, written or read.
#pragma once

#include "metrics/prediction_set.h"

namespace podium::metrics {

// Errors: DataError names sample and class: sizes that do not fit, unsorted or duplicate keys,
// values outside their range.
void check_predictions(const PredictionSet& set);

}  // namespace podium::metrics
