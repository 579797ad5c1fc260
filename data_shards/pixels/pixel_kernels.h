// The inner loops over pixels, in plain C++ and for the vector instructions that the processor has.
// Every version gives the same bits: floats by the same products and sums in the same order,
// integers exactly. Read next: pixel_kernels.cpp, pixel_kernels_simd.h.
#pragma once

#include <cstdint>

namespace podium::data_shards {

// Pixels are RGB bytes, planes are floats: red, then `stride` values further green, then blue.
inline constexpr int kPixelBlock = 16;    // outputs of a vector at most
inline constexpr int kPlanePadding = 64;  // floats that must be readable behind a plane's last

// For each output the source positions [first, first + count) and their weights, in whole blocks.
struct ColumnTaps {
  int count = 0;
  int64_t size = 0;                // outputs, rounded up to kPixelBlock
  const int* first = nullptr;      // (size)
  const float* weights = nullptr;  // (count, size)
};

// value * scale[channel] + offset[channel].
struct ChannelScale {
  float scale[3];
  float offset[3];
};

struct PixelKernels {
  // Planes of n pixels; scaled where `scale` is given.
  void (*split)(const uint8_t* rgb, int n, const ChannelScale* scale, float* const* planes);
  // mixed[i] = rows[0][i] * weights[0] + rows[1][i] * weights[1] + ..., added from the left.
  // Requires: n is a multiple of kPixelBlock.
  void (*mix_rows)(const float* const* rows, const float* weights, int count, int64_t n,
                   float* mixed);
  // n outputs of each of three planes from a mixed row; the sum over the taps from the left.
  void (*mix_columns)(const float* mixed, int64_t stride, const ColumnTaps& taps,
                      const ChannelScale* scale, int n, float* const* planes);
  // n pixels, cut to 0..255 and rounded.
  void (*join)(const float* planes, int64_t stride, int n, uint8_t* rgb);
  // Value i of n through table i % 3 of `tables`, (3, 256). `from` and `to` may be the same.
  void (*map)(const uint8_t* tables, const uint8_t* from, int64_t n, uint8_t* to);
  // The sum of n pixels' gray values.
  int64_t (*sum_gray)(const uint8_t* rgb, int64_t n);
  // Each of n pixels' gray value, three times.
  void (*spread_gray)(const uint8_t* rgb, int64_t n, uint8_t* gray);
  // to[i] = from[i] + factor * (to[i] - from[i]), cut to 0..255; what is left after the point is
  // dropped.
  void (*blend)(const uint8_t* from, float factor, int64_t n, uint8_t* to);
  // The rounded 13th of the sum of the 8 neighbours (3 values to the left and right) and 5 times
  // the value, for n values.
  void (*smooth)(const uint8_t* above, const uint8_t* here, const uint8_t* below, int64_t n,
                 uint8_t* smooth);
};

// The versions; null where the compiler does not make them.
const PixelKernels* avx2_kernels();
const PixelKernels* avx512_kernels();

enum class Instructions { kPortable, kAvx2, kAvx512 };
// Null where this processor does not have them.
const PixelKernels* pixel_kernels(Instructions instructions);
// The best that this processor has.
const PixelKernels& pixel_kernels();

// Gray value of a pixel, as Pillow's mode "L": ITU-R 601 weights in 16-bit fixed point.
inline constexpr uint32_t kGrayRed = 19595, kGrayGreen = 38470, kGrayBlue = 7471;
inline uint8_t gray_value(uint8_t red, uint8_t green, uint8_t blue) {
  return static_cast<uint8_t>((red * kGrayRed + green * kGrayGreen + blue * kGrayBlue + 0x8000u) >>
                              16);
}

}  // namespace podium::data_shards
