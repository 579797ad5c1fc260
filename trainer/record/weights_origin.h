// Where a run's first weights came from, as its prediction sets say it.
#pragma once

#include <nlohmann/json.hpp>

#include "metrics/prediction_set.h"

namespace podium::trainer {

// From the `initial_weights` of a run's manifest: file name, digest and licence; empty where they
// were drawn at random.
metrics::WeightsOrigin weights_origin(const nlohmann::json& manifest);

}  // namespace podium::trainer
