// The ops `cutout` and `random_erasing`.
#include "data_shards/transform/augment_erase.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>

#include "data_shards/transform/op_parameters.h"

namespace podium::data_shards {

PixelRect cutout_box(const ImageSize& size, double factor, int center_x, int center_y) {
  const int half_width = static_cast<int>(factor * size.width + 0.5) / 2;
  const int half_height = static_cast<int>(factor * size.height + 0.5) / 2;
  const int left = std::max(center_x - half_width, 0);
  const int top = std::max(center_y - half_height, 0);
  const int right = std::min(center_x + half_width, size.width - 1);
  const int bottom = std::min(center_y + half_height, size.height - 1);
  return {left, top, right - left + 1, bottom - top + 1};
}

namespace {

class Cutout : public TransformOp {
 public:
  explicit Cutout(const PartSpec& spec)
      : p_(spec.get_float("p")), factor_(spec.get_float("factor")) {}
  void resolve(ImageSize* size, Rng* rng, std::vector<Step>* steps) const override {
    const bool is_chosen = rng->bernoulli(p_);
    const int center_y = pick(rng, size->height);
    const int center_x = pick(rng, size->width);
    std::array<int, 3> color;
    for (int& channel : color) channel = pick(rng, 256);
    if (!is_chosen) return;
    const PixelRect box = cutout_box(*size, factor_, center_x, center_y);
    steps->push_back({.kind = StepKind::kPixels, .size = *size, .pixels = [=](cv::Mat* image) {
                        (*image)(cv::Rect(box.x, box.y, box.width, box.height))
                            .setTo(cv::Scalar(color[0], color[1], color[2]));
                      }});
  }

 private:
  double p_, factor_;
};

// As timm's RandomErasing, which works on normalised values: area and aspect ratio are drawn up to
// ten times until the rectangle is smaller than the image.
class RandomErasing : public TransformOp {
 public:
  explicit RandomErasing(const PartSpec& spec)
      : p_(spec.get_float("p")),
        area_(range_of(spec, "area")),
        ratio_(range_of(spec, "ratio")),
        fill_(spec.get_string("fill")),
        max_count_(static_cast<int>(spec.get_int("max_count"))) {}
  bool is_after_normalization() const override { return true; }

  void resolve(ImageSize* size, Rng* rng, std::vector<Step>* steps) const override {
    const bool is_chosen = rng->bernoulli(p_);
    const int count = 1 + pick(rng, max_count_);
    for (int i = 0; i < max_count_; ++i) {
      Erasure erasure;
      erasure.box = draw_box(*size, count, rng);
      std::array<float, 3> color;
      for (float& channel : color) channel = static_cast<float>(rng->normal());
      const uint64_t noise_key = rng->next_u64();
      if (fill_ == "color") erasure.color = color;
      if (fill_ == "noise") erasure.noise = Rng(noise_key, RandomPurpose::kErasingNoise);
      if (!is_chosen || i >= count || erasure.box.width == 0) continue;
      steps->push_back({.kind = StepKind::kErase, .size = *size, .erasure = erasure});
    }
  }

 private:
  PixelRect draw_box(const ImageSize& size, int count, Rng* rng) const {
    PixelRect box;
    const double image_area = static_cast<double>(size.height) * size.width;
    for (int i = 0; i < 10; ++i) {
      const double area = rng->uniform(area_.first, area_.second) * image_area / count;
      const double aspect = std::exp(rng->uniform(std::log(ratio_.first), std::log(ratio_.second)));
      const int height = static_cast<int>(std::nearbyint(std::sqrt(area * aspect)));
      const int width = static_cast<int>(std::nearbyint(std::sqrt(area / aspect)));
      const bool fits = width > 0 && width < size.width && height > 0 && height < size.height;
      if (box.width == 0 && fits) box = {0, 0, width, height};
    }
    const double at_y = rng->uniform(), at_x = rng->uniform();
    box.y = static_cast<int>(at_y * (size.height - box.height + 1));
    box.x = static_cast<int>(at_x * (size.width - box.width + 1));
    return box;
  }

  double p_;
  std::pair<double, double> area_, ratio_;
  std::string fill_;
  int max_count_;
};

}  // namespace

std::unique_ptr<TransformOp> create_cutout(const PartSpec& spec) {
  return std::make_unique<Cutout>(spec);
}

std::unique_ptr<TransformOp> create_random_erasing(const PartSpec& spec) {
  return std::make_unique<RandomErasing>(spec);
}

}  // namespace podium::data_shards
