// Half precision (IEEE 754 binary16) as prediction sets may store it, without libtorch.
#pragma once

#include <cstdint>

namespace podium::metrics {

// Rounds to the nearest, ties to even; beyond 65504 infinity; NaN stays NaN.
uint16_t half_bits(float value);
// Exact.
float float_of_half(uint16_t bits);

}  // namespace podium::metrics
