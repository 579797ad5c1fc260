// The resampler: rows first (contiguous), then columns pixel by pixel with the three channels of a
// pixel in one vector.
#include "data_shards/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace podium::data_shards {
namespace {

// Four floats by the compiler's portable vectors: SSE2 on x86-64, NEON on ARM, the same results on
// both.
using Float4 = float __attribute__((vector_size(16)));
constexpr int kBlock = 16;  // values handled at once in rows

Float4 load4(const float* from) {
  Float4 value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}
void store4(float* to, Float4 value) { std::memcpy(to, &value, sizeof(value)); }

double bilinear_kernel(double x) { return std::max(0.0, 1.0 - std::abs(x)); }
double bicubic_kernel(double x) {
  constexpr double kA = -0.5;
  x = std::abs(x);
  if (x < 1) return ((kA + 2) * x - (kA + 3)) * x * x + 1;
  if (x < 2) return ((kA * x - 5 * kA) * x + 8 * kA) * x - 4 * kA;
  return 0;
}

// Reverses the order of the outputs.
void mirror(ResampleTaps& taps) {
  std::reverse(taps.first.begin(), taps.first.end());
  const size_t last = taps.first.size() - 1;
  const auto count = static_cast<size_t>(taps.count);
  for (size_t i = 0; i < taps.first.size() / 2; ++i) {
    std::swap_ranges(taps.weights.begin() + static_cast<int64_t>(i * count),
                     taps.weights.begin() + static_cast<int64_t>((i + 1) * count),
                     taps.weights.begin() + static_cast<int64_t>((last - i) * count));
  }
}

void widen(const uint8_t* __restrict source, float* __restrict target, int n) {
  int i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    for (int j = 0; j < kBlock; ++j) target[i + j] = source[i + j];
  }
  for (; i < n; ++i) target[i] = source[i];
}

// Source rows as floats, each converted once. Row r lives in slot r % count.
class RowWindow {
 public:
  RowWindow(const cv::Mat& source, int count, std::vector<float>& memory)
      : source_(source), count_(count), stride_(static_cast<size_t>(source.cols * 3 + kBlock)) {
    memory.resize(stride_ * static_cast<size_t>(count));
    memory_ = memory.data();
  }
  // Makes rows [first, first + count) available. Requires: first does not fall from call to call.
  void advance(int first) {
    next_ = std::max(next_, first);
    for (; next_ < first + count_; ++next_) {
      widen(source_.ptr<uint8_t>(next_), row(next_), source_.cols * 3);
    }
  }
  float* row(int r) { return memory_ + stride_ * static_cast<size_t>(r % count_); }
  int stride() const { return static_cast<int>(stride_); }

 private:
  const cv::Mat& source_;
  int count_;
  size_t stride_;
  int next_ = 0;
  float* memory_;
};

// mixed[i] = sum over k of weights[k] * row(first + k)[i].
void mix_rows(RowWindow& window, int first, int count, const float* weights,
              float* __restrict mixed) {
  const int n = window.stride();
  const float* __restrict row0 = window.row(first);
  if (count == 1) {
    std::memcpy(mixed, row0, static_cast<size_t>(n) * sizeof(float));
    return;
  }
  const float* __restrict row1 = window.row(first + 1);
  for (int i = 0; i + 4 <= n; i += 4) {
    store4(mixed + i, load4(row0 + i) * weights[0] + load4(row1 + i) * weights[1]);
  }
  for (int k = 2; k < count; ++k) {
    const float* __restrict row = window.row(first + k);
    for (int i = 0; i + 4 <= n; i += 4) {
      store4(mixed + i, load4(mixed + i) + load4(row + i) * weights[k]);
    }
  }
}

// One output pixel (r, g, b, unused) from a mixed row.
template <int kCount>
Float4 mix_columns(const float* mixed, const ResampleTaps& taps, int x) {
  const int count = kCount > 0 ? kCount : taps.count;
  const float* weights = taps.weights.data() + static_cast<int64_t>(x) * count;
  const float* pixel = mixed + static_cast<int64_t>(taps.first[static_cast<size_t>(x)]) * 3;
  Float4 sum = load4(pixel) * weights[0];
  for (int k = 1; k < count; ++k) sum += load4(pixel + 3 * k) * weights[k];
  return sum;
}

// Calls write(y, x, pixels, n) for blocks of up to 4 pixels of each output row.
template <int kCount, typename Write>
void resample_rows(const cv::Mat& source, const ResampleTaps& rows, const ResampleTaps& columns,
                   bool flip_vertical, const Write& write) {
  thread_local std::vector<float> window_memory;
  thread_local std::vector<float> mixed;
  RowWindow window(source, rows.count, window_memory);
  mixed.resize(static_cast<size_t>(window.stride()));
  const int out_height = static_cast<int>(rows.first.size());
  const int out_width = static_cast<int>(columns.first.size());
  for (int y = 0; y < out_height; ++y) {
    const int first = rows.first[static_cast<size_t>(y)];
    window.advance(first);
    mix_rows(window, first, rows.count, rows.weights.data() + static_cast<int64_t>(y) * rows.count,
             mixed.data());
    const int out_y = flip_vertical ? out_height - 1 - y : y;
    for (int x = 0; x < out_width; x += 4) {
      const int n = std::min(4, out_width - x);
      Float4 pixels[4] = {};
      if (n == 4) {
        for (int j = 0; j < 4; ++j) pixels[j] = mix_columns<kCount>(mixed.data(), columns, x + j);
      } else {
        for (int j = 0; j < n; ++j) pixels[j] = mix_columns<kCount>(mixed.data(), columns, x + j);
      }
      write(out_y, x, pixels, n);
    }
  }
}

template <typename Write>
void resample(const cv::Mat& source, const SourceBox& box, Interpolation interpolation,
              int64_t out_height, int64_t out_width, bool flip_horizontal, bool flip_vertical,
              const Write& write) {
  const ResampleTaps rows =
      make_taps(source.rows, box.y, box.height, static_cast<int>(out_height), interpolation);
  ResampleTaps columns =
      make_taps(source.cols, box.x, box.width, static_cast<int>(out_width), interpolation);
  if (flip_horizontal) mirror(columns);
  if (columns.count == 2) {
    resample_rows<2>(source, rows, columns, flip_vertical, write);
  } else {
    resample_rows<0>(source, rows, columns, flip_vertical, write);
  }
}

Float4 clamp_to_bytes(Float4 value) {
  const Float4 low = {};
  const Float4 high = {255, 255, 255, 255};
  value = value < low ? low : value;
  return value > high ? high : value;
}

// Four pixels (r, g, b, -) -> their planes.
struct Planes4 {
  Float4 red, green, blue;
};
Planes4 transpose(const Float4* pixels) {
  const Float4 low01 = __builtin_shufflevector(pixels[0], pixels[1], 0, 4, 1, 5);   // r0 r1 g0 g1
  const Float4 low23 = __builtin_shufflevector(pixels[2], pixels[3], 0, 4, 1, 5);   // r2 r3 g2 g3
  const Float4 high01 = __builtin_shufflevector(pixels[0], pixels[1], 2, 6, 3, 7);  // b0 b1
  const Float4 high23 = __builtin_shufflevector(pixels[2], pixels[3], 2, 6, 3, 7);  // b2 b3
  return {__builtin_shufflevector(low01, low23, 0, 1, 4, 5),
          __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
          __builtin_shufflevector(high01, high23, 0, 1, 4, 5)};
}

void store_some(float* to, Float4 value, int n) {
  if (n == 4) {
    store4(to, value);
  } else {
    std::memcpy(to, &value, static_cast<size_t>(n) * sizeof(float));
  }
}

}  // namespace

ResampleTaps make_taps(int source_size, double start, double length, int out_size,
                       Interpolation interpolation) {
  const bool is_cubic = interpolation == Interpolation::kBicubic;
  const double scale = length / out_size;
  const double widening = std::max(scale, 1.0);
  const double support = (is_cubic ? 2.0 : 1.0) * widening;
  std::vector<int> begin(static_cast<size_t>(out_size));
  std::vector<int> end(static_cast<size_t>(out_size));
  ResampleTaps taps;
  for (int i = 0; i < out_size; ++i) {
    const double center = start + (i + 0.5) * scale;
    const auto at = static_cast<size_t>(i);
    begin[at] =
        std::clamp(static_cast<int>(std::floor(center - support + 0.5)), 0, source_size - 1);
    end[at] = std::clamp(static_cast<int>(std::floor(center + support + 0.5)), begin[at] + 1,
                         source_size);
    taps.count = std::max(taps.count, end[at] - begin[at]);
  }
  // All outputs get the same number of taps, so that the inner loops have no cases; what is too
  // many has weight 0.
  taps.first.resize(static_cast<size_t>(out_size));
  taps.weights.assign(static_cast<size_t>(out_size) * static_cast<size_t>(taps.count), 0.0f);
  for (int i = 0; i < out_size; ++i) {
    const auto at = static_cast<size_t>(i);
    const double center = start + (i + 0.5) * scale;
    taps.first[at] = std::min(begin[at], source_size - taps.count);
    double sum = 0;
    const auto weight_of = [&](int position) {
      const double distance = (position + 0.5 - center) / widening;
      return is_cubic ? bicubic_kernel(distance) : bilinear_kernel(distance);
    };
    for (int position = begin[at]; position < end[at]; ++position) sum += weight_of(position);
    float* weights = taps.weights.data() + static_cast<int64_t>(i) * taps.count;
    for (int position = begin[at]; position < end[at]; ++position) {
      weights[position - taps.first[at]] =
          static_cast<float>(sum != 0 ? weight_of(position) / sum : 1.0 / (end[at] - begin[at]));
    }
  }
  return taps;
}

void resample_to_planes(const cv::Mat& source, const SourceBox& box, Interpolation interpolation,
                        const PlanarTarget& target) {
  const int64_t plane = target.height * target.width;
  const bool can_overshoot = interpolation == Interpolation::kBicubic;
  const bool is_gray = target.is_gray || target.channels == 1;
  const auto write = [&](int y, int x, Float4* pixels, int n) {
    if (can_overshoot) {
      for (int j = 0; j < 4; ++j) pixels[j] = clamp_to_bytes(pixels[j]);
    }
    Planes4 planes = transpose(pixels);
    if (is_gray) {
      planes.red = planes.red * 0.299f + planes.green * 0.587f + planes.blue * 0.114f;
      planes.green = planes.red;
      planes.blue = planes.red;
    }
    float* to = target.data + y * target.width + x;
    store_some(to, planes.red * target.scale[0] + target.offset[0], n);
    if (target.channels == 1) return;
    store_some(to + plane, planes.green * target.scale[1] + target.offset[1], n);
    store_some(to + 2 * plane, planes.blue * target.scale[2] + target.offset[2], n);
  };
  resample(source, box, interpolation, target.height, target.width, target.flip_horizontal,
           target.flip_vertical, write);
}

cv::Mat resample_to_bytes(const cv::Mat& source, const SourceBox& box, Interpolation interpolation,
                          int out_height, int out_width) {
  cv::Mat output(out_height, out_width, CV_8UC3);
  const auto write = [&](int y, int x, Float4* pixels, int n) {
    uint8_t* to = output.ptr<uint8_t>(y) + x * 3;
    for (int j = 0; j < n; ++j, to += 3) {
      const Float4 value = clamp_to_bytes(pixels[j]) + 0.5f;
      for (int channel = 0; channel < 3; ++channel)
        to[channel] = static_cast<uint8_t>(value[channel]);
    }
  };
  resample(source, box, interpolation, out_height, out_width, false, false, write);
  return output;
}

void bytes_to_planes(const cv::Mat& source, const PlanarTarget& target) {
  std::array<std::array<float, 256>, 3> tables;
  for (size_t channel = 0; channel < 3; ++channel) {
    for (size_t value = 0; value < 256; ++value) {
      const auto byte = target.table ? (*target.table)[value] : static_cast<uint8_t>(value);
      tables[channel][value] =
          static_cast<float>(byte) * target.scale[channel] + target.offset[channel];
    }
  }
  const int64_t plane = target.height * target.width;
  const bool is_gray = target.is_gray || target.channels == 1;
  for (int64_t y = 0; y < target.height; ++y) {
    const int64_t source_y = target.flip_vertical ? target.height - 1 - y : y;
    const uint8_t* from = source.ptr<uint8_t>(static_cast<int>(source_y));
    const int64_t step = target.flip_horizontal ? -3 : 3;
    if (target.flip_horizontal) from += 3 * (target.width - 1);
    float* to = target.data + y * target.width;
    for (int64_t x = 0; x < target.width; ++x, from += step) {
      const uint8_t gray = is_gray ? gray_value(from[0], from[1], from[2]) : uint8_t{0};
      to[x] = tables[0][is_gray ? gray : from[0]];
      if (target.channels == 1) continue;
      to[x + plane] = tables[1][is_gray ? gray : from[1]];
      to[x + 2 * plane] = tables[2][is_gray ? gray : from[2]];
    }
  }
}

}  // namespace podium::data_shards
