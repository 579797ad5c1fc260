// Both ways by whole numbers, so that every processor gives the same bits.
#include "metrics/half.h"

#include <bit>
#include <cmath>

namespace podium::metrics {
namespace {

constexpr uint32_t kHalfInfinity = 0x7C00;
constexpr uint32_t kFloatInfinity = 0x7F800000;
constexpr int kDroppedBits = 13;  // 23 bits of a float's fraction, 10 of a half's

// value / 2^shift, to the nearest, ties to even.
uint32_t shift_rounded(uint32_t value, int shift) {
  const uint32_t kept = value >> shift;
  const uint32_t rest = value & ((1u << shift) - 1);
  const uint32_t middle = 1u << (shift - 1);
  return kept + (rest > middle || (rest == middle && (kept & 1) != 0) ? 1 : 0);
}

}  // namespace

uint16_t half_bits(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > kFloatInfinity) return static_cast<uint16_t>(sign | kHalfInfinity | 0x200);
  const int exponent = static_cast<int>(magnitude >> 23) - 127;
  if (exponent > 15) return static_cast<uint16_t>(sign | kHalfInfinity);
  if (exponent >= -14) {
    // A carry out of the fraction raises the exponent, up to infinity.
    const uint32_t rebiased = magnitude - ((127u - 15u) << 23);
    return static_cast<uint16_t>(sign | shift_rounded(rebiased, kDroppedBits));
  }
  if (exponent < -25) return static_cast<uint16_t>(sign);
  const uint32_t fraction = (magnitude & 0x7FFFFF) | 0x800000;
  return static_cast<uint16_t>(sign | shift_rounded(fraction, kDroppedBits - 14 - exponent));
}

float float_of_half(uint16_t bits) {
  const uint32_t exponent = (bits >> 10) & 0x1F;
  const uint32_t fraction = bits & 0x3FF;
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  if (exponent == 0x1F) {
    return std::bit_cast<float>(sign | kFloatInfinity | fraction << kDroppedBits);
  }
  if (exponent != 0) {
    return std::bit_cast<float>(sign | (exponent + 127 - 15) << 23 | fraction << kDroppedBits);
  }
  const float magnitude = std::ldexp(static_cast<float>(fraction), -24);
  return sign != 0 ? -magnitude : magnitude;
}

}  // namespace podium::metrics
