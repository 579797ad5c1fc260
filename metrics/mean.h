// The mean of scores of which some are not defined.
#pragma once

#include <span>

namespace podium::metrics {

// Mean of the values that are not NaN (a class without a positive has no score); NaN when there are
// none. Shapes: values (N), summed in order.
double mean_without_nan(std::span<const double> values);

}  // namespace podium::metrics
