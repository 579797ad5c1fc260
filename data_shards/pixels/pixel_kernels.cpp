// The loops in plain C++, which the others must equal, and the choice. Read next:
// pixel_kernels_avx512.cpp.
#include "data_shards/pixels/pixel_kernels.h"

#include <algorithm>

namespace podium::data_shards {

namespace {

float scaled(float value, const ChannelScale* scale, int channel) {
  return scale ? value * scale->scale[channel] + scale->offset[channel] : value;
}

void split(const uint8_t* rgb, int n, const ChannelScale* scale, float* const* planes) {
  for (int i = 0; i < n; ++i, rgb += 3) {
    for (int channel = 0; channel < 3; ++channel) {
      planes[channel][i] = scaled(rgb[channel], scale, channel);
    }
  }
}

void mix_rows(const float* const* rows, const float* weights, int count, int64_t n, float* mixed) {
  for (int64_t i = 0; i < n; ++i) mixed[i] = rows[0][i] * weights[0];
  for (int k = 1; k < count; ++k) {
    for (int64_t i = 0; i < n; ++i) mixed[i] = mixed[i] + rows[k][i] * weights[k];
  }
}

void mix_columns(const float* mixed, int64_t stride, const ColumnTaps& taps,
                 const ChannelScale* scale, int n, float* const* planes) {
  for (int channel = 0; channel < 3; ++channel, mixed += stride) {
    for (int x = 0; x < n; ++x) {
      const float* from = mixed + taps.first[x];
      const float* weight = taps.weights + x;
      float sum = from[0] * weight[0];
      for (int k = 1; k < taps.count; ++k) sum = sum + from[k] * weight[k * taps.size];
      planes[channel][x] = scaled(sum, scale, channel);
    }
  }
}

void join(const float* planes, int64_t stride, int n, uint8_t* rgb) {
  for (int i = 0; i < n; ++i, rgb += 3) {
    for (int channel = 0; channel < 3; ++channel) {
      const float value = planes[channel * stride + i];
      rgb[channel] = static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f) + 0.5f);
    }
  }
}

void map(const uint8_t* tables, const uint8_t* from, int64_t n, uint8_t* to) {
  int64_t i = 0;
  for (; i + 3 <= n; i += 3) {
    to[i] = tables[from[i]];
    to[i + 1] = tables[256 + from[i + 1]];
    to[i + 2] = tables[512 + from[i + 2]];
  }
  for (; i < n; ++i) to[i] = tables[256 * (i % 3) + from[i]];
}

int64_t sum_gray(const uint8_t* rgb, int64_t n) {
  int64_t sum = 0;
  for (int64_t i = 0; i < n; ++i, rgb += 3) sum += gray_value(rgb[0], rgb[1], rgb[2]);
  return sum;
}

void spread_gray(const uint8_t* rgb, int64_t n, uint8_t* gray) {
  for (int64_t i = 0; i < 3 * n; i += 3) {
    gray[i] = gray[i + 1] = gray[i + 2] = gray_value(rgb[i], rgb[i + 1], rgb[i + 2]);
  }
}

void blend(const uint8_t* from, float factor, int64_t n, uint8_t* to) {
  for (int64_t i = 0; i < n; ++i) {
    const float value = static_cast<float>(from[i]) + factor * static_cast<float>(to[i] - from[i]);
    to[i] = static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f));
  }
}

void smooth(const uint8_t* above, const uint8_t* here, const uint8_t* below, int64_t n,
            uint8_t* result) {
  for (int64_t i = 0; i < n; ++i) {
    const int sum = above[i - 3] + above[i] + above[i + 3] + here[i - 3] + 5 * here[i] +
                    here[i + 3] + below[i - 3] + below[i] + below[i + 3];
    result[i] = static_cast<uint8_t>((2 * sum + 13) / 26);
  }
}

constexpr PixelKernels kPortable = {split,    mix_rows,    mix_columns, join,  map,
                                    sum_gray, spread_gray, blend,       smooth};

}  // namespace

const PixelKernels* pixel_kernels(Instructions instructions) {
#if defined(__x86_64__) && defined(__GNUC__)
  const auto has = [](bool is_there, const PixelKernels* kernels) {
    return is_there ? kernels : nullptr;
  };
  if (instructions == Instructions::kAvx2) {
    return has(__builtin_cpu_supports("avx2"), avx2_kernels());
  }
  if (instructions == Instructions::kAvx512) {
    return has(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi"),
               avx512_kernels());
  }
#endif
  return instructions == Instructions::kPortable ? &kPortable : nullptr;
}

const PixelKernels& pixel_kernels() {
  static const PixelKernels& best = *[] {
    for (const Instructions instructions : {Instructions::kAvx512, Instructions::kAvx2}) {
      if (const PixelKernels* kernels = pixel_kernels(instructions)) return kernels;
    }
    return &kPortable;
  }();
  return best;
}

}  // namespace podium::data_shards
