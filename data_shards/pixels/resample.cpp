// The resampler: rows first, then columns, plane by plane; the loops are in pixel_kernels_simd.h.
#include "data_shards/pixels/resample.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace podium::data_shards {
namespace {

int64_t rounded_up(int64_t n, int64_t block) { return (n + block - 1) / block * block; }

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

// Source rows as float planes, each converted once. Row r lives in slot r % count.
class RowWindow {
 public:
  RowWindow(const cv::Mat& source, int count, std::vector<float>& memory)
      : source_(source),
        count_(count),
        stride_(rounded_up(source.cols + kPlanePadding, kPixelBlock)),
        kernels_(pixel_kernels()) {
    memory.resize(static_cast<size_t>(3 * stride_ * count));
    memory_ = memory.data();
  }
  // Makes rows [first, first + count) available. Requires: first does not fall from call to call.
  void advance(int first) {
    next_ = std::max(next_, first);
    for (; next_ < first + count_; ++next_) {
      float* red = row(next_);
      float* const planes[] = {red, red + stride_, red + 2 * stride_};
      kernels_.split(source_.ptr<uint8_t>(next_), source_.cols, nullptr, planes);
    }
  }
  float* row(int r) const { return memory_ + 3 * stride_ * (r % count_); }
  int64_t stride() const { return stride_; }  // of a plane

 private:
  const cv::Mat& source_;
  int count_;
  int64_t stride_;
  const PixelKernels& kernels_;
  int next_ = 0;
  float* memory_;
};

// Taps in the order of the kernels: whole blocks, weights tap by tap.
struct Columns {
  std::vector<int> first;
  std::vector<float> weights;
  ColumnTaps view;
};
void lay_out(const ResampleTaps& taps, Columns* columns) {
  const auto n = static_cast<int64_t>(taps.first.size());
  const int64_t size = rounded_up(n, kPixelBlock);
  columns->first.assign(static_cast<size_t>(size), taps.first.back());
  std::copy(taps.first.begin(), taps.first.end(), columns->first.begin());
  columns->weights.assign(static_cast<size_t>(size * taps.count), 0.0f);
  for (int64_t x = 0; x < n; ++x) {
    for (int64_t k = 0; k < taps.count; ++k) {
      columns->weights[static_cast<size_t>(k * size + x)] =
          taps.weights[static_cast<size_t>(x * taps.count + k)];
    }
  }
  columns->view = {taps.count, size, columns->first.data(), columns->weights.data()};
}

// Calls write(y, mixed, stride, columns) for each output row: the columns of `mixed` are still to
// be mixed.
template <typename Write>
void resample(const cv::Mat& source, const SourceBox& box, Interpolation interpolation,
              int64_t out_height, int64_t out_width, bool flip_horizontal, const Write& write) {
  thread_local std::vector<float> window_memory;
  thread_local std::vector<float> mixed;
  thread_local Columns columns;
  const ResampleTaps rows =
      make_taps(source.rows, box.y, box.height, static_cast<int>(out_height), interpolation);
  ResampleTaps taps =
      make_taps(source.cols, box.x, box.width, static_cast<int>(out_width), interpolation);
  if (flip_horizontal) mirror(taps);
  lay_out(taps, &columns);
  RowWindow window(source, rows.count, window_memory);
  mixed.resize(static_cast<size_t>(3 * window.stride()));
  std::vector<const float*> mixed_rows(static_cast<size_t>(rows.count));
  for (int y = 0; y < static_cast<int>(out_height); ++y) {
    const int first = rows.first[static_cast<size_t>(y)];
    window.advance(first);
    for (int k = 0; k < rows.count; ++k) {
      mixed_rows[static_cast<size_t>(k)] = window.row(first + k);
    }
    pixel_kernels().mix_rows(mixed_rows.data(),
                             rows.weights.data() + static_cast<int64_t>(y) * rows.count, rows.count,
                             3 * window.stride(), mixed.data());
    write(y, mixed.data(), window.stride(), columns.view);
  }
}

ChannelScale scale_of(const PlanarTarget& target) {
  ChannelScale scale;
  std::copy(target.scale.begin(), target.scale.end(), scale.scale);
  std::copy(target.offset.begin(), target.offset.end(), scale.offset);
  return scale;
}

// One row of three planes, and where it goes in the target.
struct TargetRow {
  TargetRow(const PlanarTarget& target, int64_t y) {
    const int64_t to = target.flip_vertical ? target.height - 1 - y : y;
    for (int channel = 0; channel < target.channels; ++channel) {
      planes[channel] = target.data + (channel * target.height + to) * target.width;
    }
  }
  float* planes[3] = {};
};

// What the kernels do not do: clamps and gray, then the scale. `values`: three planes of a row.
void finish_row(const PlanarTarget& target, bool is_clamped, float* const* values,
                const TargetRow& row) {
  for (int64_t x = 0; x < target.width; ++x) {
    float value[3] = {values[0][x], values[1][x], values[2][x]};
    if (is_clamped) {
      for (float& channel : value) channel = std::clamp(channel, 0.0f, 255.0f);
    }
    if (target.is_gray || target.channels == 1) {
      const float gray = value[0] * 0.299f + value[1] * 0.587f + value[2] * 0.114f;
      std::fill(value, value + 3, gray);
    }
    for (int channel = 0; channel < target.channels; ++channel) {
      const auto at = static_cast<size_t>(channel);
      row.planes[channel][x] = value[channel] * target.scale[at] + target.offset[at];
    }
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
  std::vector<double> own;  // weights of an output before the division by their sum
  for (int i = 0; i < out_size; ++i) {
    const auto at = static_cast<size_t>(i);
    const double center = start + (i + 0.5) * scale;
    taps.first[at] = std::min(begin[at], source_size - taps.count);
    double sum = 0;
    own.clear();
    for (int position = begin[at]; position < end[at]; ++position) {
      const double distance = (position + 0.5 - center) / widening;
      own.push_back(is_cubic ? bicubic_kernel(distance) : bilinear_kernel(distance));
      sum += own.back();
    }
    float* weights = taps.weights.data() + static_cast<int64_t>(i) * taps.count;
    weights += begin[at] - taps.first[at];
    for (size_t k = 0; k < own.size(); ++k) {
      weights[k] = static_cast<float>(sum != 0 ? own[k] / sum : 1.0 / (end[at] - begin[at]));
    }
  }
  return taps;
}

void resample_to_planes(const cv::Mat& source, const SourceBox& box, Interpolation interpolation,
                        const PlanarTarget& target) {
  const int width = static_cast<int>(target.width);
  const ChannelScale scale = scale_of(target);
  const bool is_clamped = interpolation == Interpolation::kBicubic;  // it overshoots
  const bool is_direct = !is_clamped && !target.is_gray && target.channels == 3;
  thread_local std::vector<float> values;
  values.resize(static_cast<size_t>(3 * target.width));
  float* const planes[] = {values.data(), values.data() + width, values.data() + 2 * width};
  const auto write = [&](int y, const float* mixed, int64_t stride, const ColumnTaps& columns) {
    const TargetRow row(target, y);
    if (is_direct) {
      pixel_kernels().mix_columns(mixed, stride, columns, &scale, width, row.planes);
      return;
    }
    pixel_kernels().mix_columns(mixed, stride, columns, nullptr, width, planes);
    finish_row(target, is_clamped, planes, row);
  };
  resample(source, box, interpolation, target.height, target.width, target.flip_horizontal, write);
}

cv::Mat resample_to_bytes(const cv::Mat& source, const SourceBox& box, Interpolation interpolation,
                          int out_height, int out_width, bool flip_horizontal) {
  cv::Mat output(out_height, out_width, CV_8UC3);
  thread_local std::vector<float> values;
  values.resize(static_cast<size_t>(3 * out_width));
  float* const planes[] = {values.data(), values.data() + out_width, values.data() + 2 * out_width};
  const auto write = [&](int y, const float* mixed, int64_t stride, const ColumnTaps& columns) {
    pixel_kernels().mix_columns(mixed, stride, columns, nullptr, out_width, planes);
    pixel_kernels().join(values.data(), out_width, out_width, output.ptr<uint8_t>(y));
  };
  resample(source, box, interpolation, out_height, out_width, flip_horizontal, write);
  return output;
}

void bytes_to_planes(const cv::Mat& source, const PlanarTarget& target) {
  const bool is_gray = target.is_gray || target.channels == 1;
  const auto num_values = static_cast<size_t>(3 * target.width);
  std::vector<uint8_t> tables;
  if (target.table) {
    for (int channel = 0; channel < 3; ++channel) {
      tables.insert(tables.end(), target.table->begin(), target.table->end());
    }
  }
  const ChannelScale scale = scale_of(target);
  thread_local std::vector<uint8_t> changed;
  thread_local std::vector<float> unused;  // green and blue of a target with one channel
  changed.resize(num_values);
  for (int64_t y = 0; y < target.height; ++y) {
    const uint8_t* from = source.ptr<uint8_t>(static_cast<int>(y));
    TargetRow row(target, y);
    if (target.flip_horizontal) {
      const uint8_t* pixel = from + num_values;
      for (size_t i = 0; i < num_values; i += 3) {
        pixel -= 3;
        std::copy_n(pixel, 3, changed.data() + i);
      }
      from = changed.data();
    }
    if (is_gray) {
      pixel_kernels().spread_gray(from, target.width, changed.data());
      from = changed.data();
    }
    if (target.table) {
      pixel_kernels().map(tables.data(), from, 3 * target.width, changed.data());
      from = changed.data();
    }
    if (target.channels == 1) {
      unused.resize(num_values);
      row.planes[1] = row.planes[2] = unused.data();
    }
    pixel_kernels().split(from, static_cast<int>(target.width), &scale, row.planes);
  }
}

}  // namespace podium::data_shards
