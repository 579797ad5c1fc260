// Affine maps of images and masks, sampled as Pillow's Image.transform does. Read next:
// augment_affine.cpp, augment_policy.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <opencv2/core/mat.hpp>

#include "data_shards/pixels/resample.h"

namespace podium::data_shards {

// Where in the source an output point comes from, in px with pixel centres at .5:
// x = m[0] * X + m[1] * Y + m[2], y = m[3] * X + m[4] * Y + m[5].
struct AffineMap {
  std::array<double, 6> m{1, 0, 0, 0, 1, 0};
};

// About the centre, counter-clockwise. Units: degrees.
AffineMap rotation_map(const ImageSize& size, double angle_deg);
// The row at height Y is taken `factor` * Y px further right, and the column at X `factor` * X px
// further down.
AffineMap shear_x_map(double factor);
AffineMap shear_y_map(double factor);
// Moves the content right and down. Units: px.
AffineMap translation_map(double right, double down);

// Rotation (clockwise), shear and scale about the centre, then the translation.
// Source: the parametrisation of torchvision's RandomAffine.
struct AffineParameters {
  double angle_deg = 0;
  double right = 0;  // px
  double down = 0;
  double scale = 1;
  double shear_x_deg = 0;
  double shear_y_deg = 0;
};
AffineMap affine_map(const ImageSize& size, const AffineParameters& parameters);

enum class Sampling { kNearest, kBilinear, kBicubic };

struct Warp {
  AffineMap map;
  Sampling sampling = Sampling::kNearest;
  std::array<uint8_t, 3> fill{0, 0, 0};  // RGB, where the source has no pixel
};
// `image`: CV_8UC3; the size stays.
cv::Mat warp(const cv::Mat& image, const Warp& warp);
// Nearest sampling of a CV_8UC1 mask; kIgnoreIndex where the source has no pixel.
cv::Mat warp_mask(const cv::Mat& mask, const AffineMap& map);

}  // namespace podium::data_shards
