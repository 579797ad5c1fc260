// The activation that makes probabilities of logits: applied once, where a set of logits is read.
#pragma once

#include "metrics/prediction_set.h"

namespace podium::metrics {

// The set with probabilities (classes: fp32; masks: uint16 steps), by the sigmoid or softmax that
// its values name, in double; a set of probabilities comes back as it is. The softmax goes over the
// K classes of a sample or pixel.
PredictionSet with_probabilities(PredictionSet set);

}  // namespace podium::metrics
