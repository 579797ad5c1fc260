// Antialiased resampling of RGB bytes, to bytes or straight into normalised float planes. Read
// next: resample.cpp, pixel_kernels.h, transforms.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <optional>
#include <vector>

#include "data_shards/pixels/pixel_kernels.h"

namespace podium::data_shards {

struct ImageSize {
  int height = 0;  // px
  int width = 0;
  bool operator==(const ImageSize&) const = default;
};

enum class Interpolation { kBilinear, kBicubic };

// The part of a source that becomes the output, in source px; it may start and end within a pixel.
struct SourceBox {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;
};

// For each output position the source positions [first, first + count) and their weights, which sum
// to 1. The filter is widened by the reduction (antialiasing) and cut at the ends of the source.
// Source: the convolution with a scaled kernel as Pillow defines its BILINEAR and BICUBIC (a =
// -0.5).
struct ResampleTaps {
  int count = 0;
  std::vector<int> first;      // (out_size)
  std::vector<float> weights;  // (out_size, count)
};
ResampleTaps make_taps(int source_size, double start, double length, int out_size,
                       Interpolation interpolation);

// Where and how an image is written as float planes: data[c, y, x] = value * scale[c] + offset[c],
// value in 0..255.
struct PlanarTarget {
  float* data = nullptr;  // (channels, height, width)
  int64_t height = 0;
  int64_t width = 0;
  int channels = 3;      // 3, or 1: the gray value
  bool is_gray = false;  // each channel holds the gray value (ITU-R 601)
  bool flip_horizontal = false;
  bool flip_vertical = false;
  std::array<float, 3> scale{1, 1, 1};
  std::array<float, 3> offset{0, 0, 0};
  std::optional<std::array<uint8_t, 256>> table{};  // bytes_to_planes: each value before the scale
};

// `source`: (H, W) CV_8UC3. One pass: resample, flip, gray, normalise, HWC -> CHW; values are not
// rounded to bytes in between. Deterministic: plain float32 products and sums in a fixed order, the
// same on any processor.
void resample_to_planes(const cv::Mat& source, const SourceBox& box, Interpolation interpolation,
                        const PlanarTarget& target);
// As above with source and output of one size: no resampling. Gray values are Pillow's integers.
void bytes_to_planes(const cv::Mat& source, const PlanarTarget& target);
// To (out_height, out_width) CV_8UC3, rounded to nearest.
cv::Mat resample_to_bytes(const cv::Mat& source, const SourceBox& box, Interpolation interpolation,
                          int out_height, int out_width, bool flip_horizontal = false);

}  // namespace podium::data_shards
