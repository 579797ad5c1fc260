// A transform pipeline resolved for one sample: the steps with every random choice made. Read next:
// transform_ops.cpp, transforms.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/recipe.h"
#include "base/rng.h"
#include "data_shards/decode.h"
#include "data_shards/resample.h"

namespace podium::data_shards {

struct ImageSize {
  int height = 0;  // px
  int width = 0;
  bool operator==(const ImageSize&) const = default;
};

enum class StepKind {
  kResample,  // `box` -> `size`
  kCrop,      // `box`, which may reach over the edges: the image is mirrored there (edge pixel not
              // repeated)
  kFlipHorizontal,
  kFlipVertical,
  kRotate90,  // by `quarter_turns`, counter-clockwise
  kGray,      // three equal channels
  kSharpen,
};

struct Step {
  StepKind kind = StepKind::kCrop;
  PixelRect box;
  ImageSize size;  // after the step; set for every kind
  Interpolation interpolation = Interpolation::kBilinear;
  int quarter_turns = 0;
};

// One op of a recipe, checked.
class TransformOp {
 public:
  virtual ~TransformOp() = default;
  // Makes the random choices and appends the steps for an image of size `size`, which becomes the
  // size after them. Random: the number of values taken from `rng` depends on the op alone, not on
  // the image.
  virtual void resolve(ImageSize* size, Rng* rng, std::vector<Step>* steps) const = 0;
  // The size after the op when it is the same for all images; `before` is what is known before.
  virtual std::optional<ImageSize> fixed_size(std::optional<ImageSize> before) const {
    return before;
  }
  virtual bool makes_one_channel() const { return false; }
};

// Null for normalize, which is no step. Errors: RecipeError naming op and parameter.
std::unique_ptr<TransformOp> make_transform_op(const OpSpec& spec);

// Mean and deviation of a normalize op for 3 channels, or 1 (the average of three given values), in
// units of 0..1.
struct Normalization {
  std::array<float, 3> mean{0, 0, 0};
  std::array<float, 3> std{1, 1, 1};
};
Normalization parse_normalize(const OpSpec& spec, int64_t channels);

// `image`: CV_8UC3. Applies one step to bytes.
cv::Mat apply_to_bytes(const cv::Mat& image, const Step& step);
// 3x3 kernel 0 -1 0 / -1 5 -1 / 0 -1 0, saturated, edges mirrored without repeating the edge pixel,
// as cv2.filter2D does.
cv::Mat sharpen(const cv::Mat& image);
// Applies the geometry of all steps to a mask at once, by nearest sampling.
cv::Mat apply_to_mask(const cv::Mat& mask, const std::vector<Step>& steps);

}  // namespace podium::data_shards
