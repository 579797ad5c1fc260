// Crops, resizing, flips, turns, gray, sharpening: parameters, random choices, resulting geometry.
// Read next: transform_steps.cpp, augment_policy_ops.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "base/error.h"
#include "data_shards/transform/op_parameters.h"

namespace podium::data_shards {
namespace {

class Resize : public TransformOp {
 public:
  explicit Resize(const PartSpec& spec)
      : size_(size_of(spec)), interpolation_(interpolation_of(spec)) {}
  void resolve(ImageSize* size, Rng*, std::vector<Step>* steps) const override {
    steps->push_back({.kind = StepKind::kResample,
                      .box = {0, 0, size->width, size->height},
                      .size = size_,
                      .interpolation = interpolation_});
    *size = size_;
  }
  std::optional<ImageSize> fixed_size(std::optional<ImageSize>) const override { return size_; }

 private:
  ImageSize size_;
  Interpolation interpolation_;
};

// A part of random area and aspect ratio. Up to ten tries, then the largest centred part within the
// ratios, as torchvision's op of this name; the random values of all tries are taken in any case.
class RandomResizedCrop : public TransformOp {
 public:
  explicit RandomResizedCrop(const PartSpec& spec)
      : size_(size_of(spec)),
        scale_(range_of(spec, "scale")),
        ratio_(range_of(spec, "ratio")),
        interpolation_(interpolation_of(spec)) {}

  void resolve(ImageSize* size, Rng* rng, std::vector<Step>* steps) const override {
    steps->push_back({.kind = StepKind::kResample,
                      .box = choose(*size, rng),
                      .size = size_,
                      .interpolation = interpolation_});
    *size = size_;
  }
  std::optional<ImageSize> fixed_size(std::optional<ImageSize>) const override { return size_; }

 private:
  PixelRect choose(const ImageSize& size, Rng* rng) const {
    const double area = static_cast<double>(size.height) * size.width;
    PixelRect box;
    for (int i = 0; i < 10; ++i) {
      const double target = area * rng->uniform(scale_.first, scale_.second);
      const double aspect = std::exp(rng->uniform(std::log(ratio_.first), std::log(ratio_.second)));
      const int width = static_cast<int>(std::lround(std::sqrt(target * aspect)));
      const int height = static_cast<int>(std::lround(std::sqrt(target / aspect)));
      const bool fits = width > 0 && width <= size.width && height > 0 && height <= size.height;
      if (box.width == 0 && fits) box = {0, 0, width, height};
    }
    const double at_y = rng->uniform();
    const double at_x = rng->uniform();
    if (box.width == 0) return largest_centred(size);
    box.y =
        std::min(static_cast<int>(at_y * (size.height - box.height + 1)), size.height - box.height);
    box.x = std::min(static_cast<int>(at_x * (size.width - box.width + 1)), size.width - box.width);
    return box;
  }

  PixelRect largest_centred(const ImageSize& size) const {
    const double aspect = static_cast<double>(size.width) / size.height;
    PixelRect box{0, 0, size.width, size.height};
    if (aspect < ratio_.first) {
      box.height =
          std::clamp(static_cast<int>(std::lround(size.width / ratio_.first)), 1, size.height);
    } else if (aspect > ratio_.second) {
      box.width =
          std::clamp(static_cast<int>(std::lround(size.height * ratio_.second)), 1, size.width);
    }
    box.y = (size.height - box.height) / 2;
    box.x = (size.width - box.width) / 2;
    return box;
  }

  ImageSize size_;
  std::pair<double, double> scale_;
  std::pair<double, double> ratio_;
  Interpolation interpolation_;
};

class CenterCrop : public TransformOp {
 public:
  explicit CenterCrop(const PartSpec& spec) : size_(size_of(spec)) {}
  void resolve(ImageSize* size, Rng*, std::vector<Step>* steps) const override {
    const int y = static_cast<int>(std::floor((size->height - size_.height) / 2.0));
    const int x = static_cast<int>(std::floor((size->width - size_.width) / 2.0));
    steps->push_back(
        {.kind = StepKind::kCrop, .box = {x, y, size_.width, size_.height}, .size = size_});
    *size = size_;
  }
  std::optional<ImageSize> fixed_size(std::optional<ImageSize>) const override { return size_; }

 private:
  ImageSize size_;
};

class RandomCrop : public TransformOp {
 public:
  explicit RandomCrop(const PartSpec& spec)
      : size_(size_of(spec)), pad_(static_cast<int>(spec.get_int("pad"))) {}
  void resolve(ImageSize* size, Rng* rng, std::vector<Step>* steps) const override {
    const int y = offset(size->height, size_.height, rng);
    const int x = offset(size->width, size_.width, rng);
    steps->push_back(
        {.kind = StepKind::kCrop, .box = {x, y, size_.width, size_.height}, .size = size_});
    *size = size_;
  }
  std::optional<ImageSize> fixed_size(std::optional<ImageSize>) const override { return size_; }

 private:
  // First position in the image padded by pad_; an image that is still too small is centred.
  int offset(int size, int wanted, Rng* rng) const {
    const int room = size + 2 * pad_ - wanted;
    const int chosen = pick(rng, std::max(room, 0) + 1);
    return (room < 0 ? static_cast<int>(std::floor(room / 2.0)) : chosen) - pad_;
  }
  ImageSize size_;
  int pad_;
};

// Appends one step with probability p.
class WithProbability : public TransformOp {
 public:
  WithProbability(const PartSpec& spec, StepKind kind) : p_(spec.get_float("p")), kind_(kind) {}
  void resolve(ImageSize* size, Rng* rng, std::vector<Step>* steps) const override {
    if (rng->bernoulli(p_)) steps->push_back({.kind = kind_, .box = {}, .size = *size});
  }

 protected:
  double p_;

 private:
  StepKind kind_;
};

class Rotate90 : public TransformOp {
 public:
  explicit Rotate90(const PartSpec& spec) : p_(spec.get_float("p")) {}
  void resolve(ImageSize* size, Rng* rng, std::vector<Step>* steps) const override {
    const bool is_chosen = rng->bernoulli(p_);
    const int quarter_turns = pick(rng, 4);
    if (!is_chosen || quarter_turns == 0) return;
    if (quarter_turns % 2 == 1) std::swap(size->height, size->width);
    steps->push_back(
        {.kind = StepKind::kRotate90, .box = {}, .size = *size, .quarter_turns = quarter_turns});
  }
  std::optional<ImageSize> fixed_size(std::optional<ImageSize> before) const override {
    return before && before->height == before->width ? before : std::nullopt;
  }

 private:
  double p_;
};

class Grayscale : public WithProbability {
 public:
  explicit Grayscale(const PartSpec& spec)
      : WithProbability(spec, StepKind::kGray), channels_(spec.get_int("channels")) {
    if (channels_ != 1 && channels_ != 3) {
      fail_op(spec, fmt::format("channels is {}; give 1 or 3", channels_));
    }
    if (channels_ == 1 && p_ < 1) {
      fail_op(spec, "channels: 1 needs p: 1, because all images of a batch need as many channels");
    }
  }
  bool makes_one_channel() const override { return channels_ == 1; }

 private:
  int64_t channels_;
};

}  // namespace

std::unique_ptr<TransformOp> create_resize(const PartSpec& spec) {
  return std::make_unique<Resize>(spec);
}

std::unique_ptr<TransformOp> create_random_resized_crop(const PartSpec& spec) {
  return std::make_unique<RandomResizedCrop>(spec);
}

std::unique_ptr<TransformOp> create_center_crop(const PartSpec& spec) {
  return std::make_unique<CenterCrop>(spec);
}

std::unique_ptr<TransformOp> create_random_crop(const PartSpec& spec) {
  return std::make_unique<RandomCrop>(spec);
}

std::unique_ptr<TransformOp> create_hflip(const PartSpec& spec) {
  return std::make_unique<WithProbability>(spec, StepKind::kFlipHorizontal);
}

std::unique_ptr<TransformOp> create_vflip(const PartSpec& spec) {
  return std::make_unique<WithProbability>(spec, StepKind::kFlipVertical);
}

std::unique_ptr<TransformOp> create_rotate90(const PartSpec& spec) {
  return std::make_unique<Rotate90>(spec);
}

std::unique_ptr<TransformOp> create_grayscale(const PartSpec& spec) {
  return std::make_unique<Grayscale>(spec);
}

std::unique_ptr<TransformOp> create_sharpening(const PartSpec& spec) {
  return std::make_unique<WithProbability>(spec, StepKind::kSharpen);
}

Normalization parse_normalize(const PartSpec& spec, int64_t channels) {
  Normalization result;
  const auto read = [&](const std::string& key, std::array<float, 3>* values) {
    const std::vector<double> given = spec.get_floats(key);
    if (given.size() != 3 && given.size() != 1) {
      fail_op(spec,
              fmt::format("{} has {} numbers; give 3, or 1 for all channels", key, given.size()));
    }
    for (size_t c = 0; c < 3; ++c)
      (*values)[c] = static_cast<float>(given[given.size() == 3 ? c : 0]);
    if (channels == 1 && given.size() == 3) {
      values->fill(static_cast<float>((given[0] + given[1] + given[2]) / 3));
    }
  };
  read("mean", &result.mean);
  read("std", &result.std);
  for (const float value : result.std) {
    if (!(value > 0)) fail_op(spec, fmt::format("std holds {}; it must be above 0", value));
  }
  return result;
}

}  // namespace podium::data_shards
