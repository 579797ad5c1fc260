// Maps, their sampling, and the op `affine`.
#include "data_shards/transform/augment_affine.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "data_shards/format/task.h"
#include "data_shards/transform/op_parameters.h"

namespace podium::data_shards {
namespace {

constexpr double kRadians = std::numbers::pi / 180;
constexpr int kFixedOne = 65536;  // nearest sampling steps in 1/65536 px

int64_t to_fixed(double value) { return static_cast<int64_t>(std::floor(value * kFixedOne + 0.5)); }

// A walk along one output row in the source.
struct FixedRow {
  int64_t x = 0, y = 0;    // of the first pixel
  int64_t dx = 0, dy = 0;  // from pixel to pixel
  bool is_inside(int64_t i, const cv::Mat& source) const {
    const int64_t column = (x + i * dx) >> 16, row = (y + i * dy) >> 16;
    return column >= 0 && column < source.cols && row >= 0 && row < source.rows;
  }
};

template <typename Pixel>
cv::Mat warp_nearest(const cv::Mat& source, const AffineMap& map, const Pixel& fill) {
  cv::Mat result(source.rows, source.cols, source.type());
  const std::array<double, 6>& m = map.m;
  FixedRow row{to_fixed(m[2] + m[0] * 0.5 + m[1] * 0.5), to_fixed(m[5] + m[3] * 0.5 + m[4] * 0.5),
               to_fixed(m[0]), to_fixed(m[3])};
  const int64_t down_x = to_fixed(m[1]), down_y = to_fixed(m[4]);
  const auto* data = source.ptr<uint8_t>();
  const size_t stride = source.step;
  for (int y = 0; y < result.rows; ++y, row.x += down_x, row.y += down_y) {
    auto* to = result.ptr<Pixel>(y);
    // The source is convex, so the part that lies inside is one stretch.
    int64_t begin = 0, end = result.cols;
    while (begin < end && !row.is_inside(begin, source)) to[begin++] = fill;
    while (end > begin && !row.is_inside(end - 1, source)) to[--end] = fill;
    if (row.dx == kFixedOne && row.dy == 0) {  // the row moves as a whole
      if (begin == end) continue;
      const auto* from = source.ptr<Pixel>(static_cast<int>(row.y >> 16)) + (row.x >> 16);
      std::memcpy(static_cast<void*>(to + begin), from + begin,
                  static_cast<size_t>(end - begin) * sizeof(Pixel));
      continue;
    }
    for (int64_t i = begin; i < end; ++i) {
      const auto line = static_cast<size_t>((row.y + i * row.dy) >> 16);
      to[i] = reinterpret_cast<const Pixel*>(data + line * stride)[(row.x + i * row.dx) >> 16];
    }
  }
  return result;
}

// The pixels before and after a position along one axis, cut at the edges, and the share of each.
template <int kTaps>
struct Taps {
  std::array<int, kTaps> at;
  std::array<int, kTaps> weight;  // in 1/2048
};
constexpr int kWeightBits = 11;

Taps<2> taps_at(double position, int n, std::integral_constant<int, 2>) {
  position -= 0.5;
  const auto first = static_cast<int>(std::floor(position));
  const auto share = static_cast<int>((position - first) * (1 << kWeightBits));
  return {{std::max(first, 0), std::min(first + 1, n - 1)}, {(1 << kWeightBits) - share, share}};
}

// Cubic convolution with a = -1 (that of the resampler is -0.5).
Taps<4> taps_at(double position, int n, std::integral_constant<int, 4>) {
  position -= 0.5;
  const auto first = static_cast<int>(std::floor(position));
  const double d = position - first;
  const std::array<double, 4> weights = {((2 - d) * d - 1) * d, (d - 2) * d * d + 1,
                                         ((1 - d) * d + 1) * d, (d - 1) * d * d};
  Taps<4> taps;
  for (int i = 0; i < 4; ++i) {
    const auto k = static_cast<size_t>(i);
    taps.at[k] = std::clamp(first - 1 + i, 0, n - 1);
    taps.weight[k] = static_cast<int>(std::lround(weights[k] * (1 << kWeightBits)));
  }
  return taps;
}

template <int kTaps>
cv::Vec3b sample_at(const cv::Mat& source, double x, double y) {
  const auto columns = taps_at(x, source.cols, std::integral_constant<int, kTaps>());
  const auto rows = taps_at(y, source.rows, std::integral_constant<int, kTaps>());
  int red = 0, green = 0, blue = 0;
  for (size_t i = 0; i < kTaps; ++i) {
    const uint8_t* row = source.ptr<uint8_t>(rows.at[i]);
    int line_red = 0, line_green = 0, line_blue = 0;
    for (size_t j = 0; j < kTaps; ++j) {
      const uint8_t* pixel = row + 3 * columns.at[j];
      line_red += columns.weight[j] * pixel[0];
      line_green += columns.weight[j] * pixel[1];
      line_blue += columns.weight[j] * pixel[2];
    }
    // 11 bits of weight and 8 of value; three bits fewer leave room for the second product.
    red += rows.weight[i] * (line_red >> 3);
    green += rows.weight[i] * (line_green >> 3);
    blue += rows.weight[i] * (line_blue >> 3);
  }
  const auto cut = [](int sum) {
    return static_cast<uint8_t>(std::clamp(sum >> (2 * kWeightBits - 3), 0, 255));
  };
  return {cut(red), cut(green), cut(blue)};
}

template <int kTaps>
cv::Mat warp_smoothly(const cv::Mat& source, const AffineMap& map, const cv::Vec3b& fill) {
  cv::Mat result(source.rows, source.cols, CV_8UC3);
  const std::array<double, 6>& m = map.m;
  for (int y = 0; y < result.rows; ++y) {
    auto* to = result.ptr<cv::Vec3b>(y);
    for (int x = 0; x < result.cols; ++x) {
      const double at_x = m[0] * (x + 0.5) + m[1] * (y + 0.5) + m[2];
      const double at_y = m[3] * (x + 0.5) + m[4] * (y + 0.5) + m[5];
      const bool is_inside = at_x >= 0 && at_x < source.cols && at_y >= 0 && at_y < source.rows;
      to[x] = is_inside ? sample_at<kTaps>(source, at_x, at_y) : fill;
    }
  }
  return result;
}

// So that the point (x, y) of the output comes from itself.
void keep_in_place(AffineMap* map, double x, double y) {
  std::array<double, 6>& m = map->m;
  m[2] = x - m[0] * x - m[1] * y;
  m[5] = y - m[3] * x - m[4] * y;
}

class Affine : public TransformOp {
 public:
  explicit Affine(const PartSpec& spec)
      : p_(spec.get_float("p")),
        angle_(interval_of(spec, "rotate_deg")),
        translate_(interval_of(spec, "translate")),
        scale_(range_of(spec, "scale")),
        shear_x_(interval_of(spec, "shear_x_deg")),
        shear_y_(interval_of(spec, "shear_y_deg")),
        sampling_(sampling_of(spec)),
        fill_(fill_of(spec)) {}

  void resolve(ImageSize* size, Rng* rng, std::vector<Step>* steps) const override {
    const bool is_chosen = rng->bernoulli(p_);
    AffineParameters drawn;
    drawn.angle_deg = rng->uniform(angle_.first, angle_.second);
    drawn.right = std::round(rng->uniform(translate_.first, translate_.second) * size->width);
    drawn.down = std::round(rng->uniform(translate_.first, translate_.second) * size->height);
    drawn.scale = rng->uniform(scale_.first, scale_.second);
    drawn.shear_x_deg = rng->uniform(shear_x_.first, shear_x_.second);
    drawn.shear_y_deg = rng->uniform(shear_y_.first, shear_y_.second);
    if (!is_chosen) return;
    steps->push_back({.kind = StepKind::kWarp,
                      .size = *size,
                      .warp = {affine_map(*size, drawn), sampling_, fill_}});
  }

 private:
  double p_;
  std::pair<double, double> angle_, translate_, scale_, shear_x_, shear_y_;
  Sampling sampling_;
  std::array<uint8_t, 3> fill_;
};

}  // namespace

AffineMap rotation_map(const ImageSize& size, double angle_deg) {
  // Cosine and sine to 15 digits: right angles then move whole pixels.
  const auto rounded = [](double value) { return std::round(value * 1e15) / 1e15; };
  const double angle = -std::fmod(angle_deg, 360.0) * kRadians;
  const double c = rounded(std::cos(angle)), s = rounded(std::sin(angle));
  AffineMap map{{c, s, 0, -s, c, 0}};
  keep_in_place(&map, size.width / 2.0, size.height / 2.0);
  return map;
}

AffineMap shear_x_map(double factor) { return {{1, factor, 0, 0, 1, 0}}; }
AffineMap shear_y_map(double factor) { return {{1, 0, 0, factor, 1, 0}}; }
AffineMap translation_map(double right, double down) { return {{1, 0, -right, 0, 1, -down}}; }

AffineMap affine_map(const ImageSize& size, const AffineParameters& parameters) {
  const double angle = parameters.angle_deg * kRadians;
  const double shear_x = parameters.shear_x_deg * kRadians;
  const double shear_y = parameters.shear_y_deg * kRadians;
  // Rotation times both shears, which has determinant 1; then its inverse by the scale.
  const double a = std::cos(angle - shear_y) / std::cos(shear_y);
  const double b = -a * std::tan(shear_x) - std::sin(angle);
  const double c = std::sin(angle - shear_y) / std::cos(shear_y);
  const double d = -c * std::tan(shear_x) + std::cos(angle);
  const double scale = parameters.scale;
  AffineMap map{{d / scale, -b / scale, 0, -c / scale, a / scale, 0}};
  keep_in_place(&map, size.width / 2.0, size.height / 2.0);
  std::array<double, 6>& m = map.m;
  m[2] -= m[0] * parameters.right + m[1] * parameters.down;
  m[5] -= m[3] * parameters.right + m[4] * parameters.down;
  return map;
}

cv::Mat warp(const cv::Mat& image, const Warp& warp) {
  const cv::Vec3b fill(warp.fill[0], warp.fill[1], warp.fill[2]);
  switch (warp.sampling) {
    case Sampling::kNearest:
      return warp_nearest(image, warp.map, fill);
    case Sampling::kBilinear:
      return warp_smoothly<2>(image, warp.map, fill);
    case Sampling::kBicubic:
      return warp_smoothly<4>(image, warp.map, fill);
  }
  return image;
}

cv::Mat warp_mask(const cv::Mat& mask, const AffineMap& map) {
  return warp_nearest(mask, map, kIgnoreIndex);
}

std::unique_ptr<TransformOp> create_affine(const PartSpec& spec) {
  return std::make_unique<Affine>(spec);
}

}  // namespace podium::data_shards
