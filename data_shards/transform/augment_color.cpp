// The op `color_jitter`. The arithmetic: augment_point.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "data_shards/transform/op_parameters.h"

namespace podium::data_shards {
namespace {

// Brightness, contrast, saturation and hue in a random order, as torchvision's ColorJitter.
class ColorJitter : public TransformOp {
 public:
  explicit ColorJitter(const PartSpec& spec)
      : p_(spec.get_float("p")),
        brightness_(spec.get_float("brightness")),
        contrast_(spec.get_float("contrast")),
        saturation_(spec.get_float("saturation")),
        hue_(spec.get_float("hue")) {}

  void resolve(ImageSize* size, Rng* rng, std::vector<Step>* steps) const override {
    const bool is_chosen = rng->bernoulli(p_);
    std::array<int, 4> order = {0, 1, 2, 3};
    for (int i = 3; i > 0; --i) {
      std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(pick(rng, i + 1))]);
    }
    const auto factor = [&](double range) {
      return rng->uniform(std::max(0.0, 1 - range), 1 + range);
    };
    const double brightness = factor(brightness_), contrast = factor(contrast_);
    const double saturation = factor(saturation_), hue = rng->uniform(-hue_, hue_);
    if (!is_chosen) return;
    for (const int which : order) {
      Step step{.kind = StepKind::kPixels, .size = *size};
      if (which == 0 && brightness_ > 0) {
        step.kind = StepKind::kTable;
        step.table = brightness_table(brightness);
      } else if (which == 1 && contrast_ > 0) {
        step.pixels = [=](cv::Mat* image) { adjust_contrast(contrast, image); };
      } else if (which == 2 && saturation_ > 0) {
        step.pixels = [=](cv::Mat* image) { adjust_saturation(saturation, image); };
      } else if (which == 3 && hue_ > 0) {
        step.pixels = [=](cv::Mat* image) { adjust_hue(hue, image); };
      } else {
        continue;
      }
      steps->push_back(std::move(step));
    }
  }

 private:
  double p_, brightness_, contrast_, saturation_, hue_;
};

}  // namespace

std::unique_ptr<TransformOp> create_color_jitter(const PartSpec& spec) {
  return std::make_unique<ColorJitter>(spec);
}

}  // namespace podium::data_shards
