// A transform pipeline resolved for one sample: the steps with every random choice made. Read next:
// transform_table.h, transform_ops.cpp, transforms.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <opencv2/core/mat.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/recipe/recipe.h"
#include "base/rng.h"
#include "data_shards/decode/decode.h"
#include "data_shards/pixels/resample.h"
#include "data_shards/transform/augment_affine.h"
#include "data_shards/transform/augment_point.h"
#include "data_shards/transform/transforms.h"

namespace podium::data_shards {

enum class StepKind {
  kResample,  // `box` -> `size`
  kCrop,      // `box`, which may reach over the edges: the image is mirrored there (edge pixel not
              // repeated)
  kFlipHorizontal,
  kFlipVertical,
  kRotate90,  // by `quarter_turns`, counter-clockwise
  kWarp,      // through `warp`; the size stays
  kGray,      // three equal channels
  kSharpen,
  kTable,   // each value through `table`
  kPixels,  // `pixels` changes values in place, by what it finds in the image; never the geometry
  kErase,   // `erasure` in the normalised planes; after all other steps
};

// A rectangle of normalised values that is painted over.
struct Erasure {
  PixelRect box;
  std::array<float, 3> color{0, 0, 0};  // in normalised units: 0 is the mean
  std::optional<Rng> noise;             // standard normal values instead, one per pixel and channel
};

struct Step {
  StepKind kind = StepKind::kCrop;
  PixelRect box{};
  ImageSize size{};  // after the step; set for every kind
  Interpolation interpolation = Interpolation::kBilinear;
  int quarter_turns = 0;
  Warp warp{};
  ByteTable table{};
  std::function<void(cv::Mat*)> pixels{};
  Erasure erasure{};
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
  // True for an op that works on normalised values and so must come after all that do not.
  virtual bool is_after_normalization() const { return false; }
};

// Null for a transform that is no step (normalize). Errors: RecipeError naming op and parameter.
std::unique_ptr<TransformOp> make_transform_op(const PartSpec& spec);

// Mean and deviation of a normalize op for 3 channels, or 1 (the average of three given values), in
// units of 0..1.
struct Normalization {
  std::array<float, 3> mean{0, 0, 0};
  std::array<float, 3> std{1, 1, 1};
};
Normalization parse_normalize(const PartSpec& spec, int64_t channels);

// `image`: CV_8UC3. Applies one step to bytes.
cv::Mat apply_to_bytes(const cv::Mat& image, const Step& step);
// Paints over normalised planes.
void apply_to_planes(const Erasure& erasure, const PlanarTarget& target);
// 3x3 kernel 0 -1 0 / -1 5 -1 / 0 -1 0, saturated, edges mirrored without repeating the edge pixel,
// as cv2.filter2D does.
cv::Mat sharpen(const cv::Mat& image);
// Applies the geometry of all steps to a mask by nearest sampling: at once, but for warps, which
// are sampled one after another as the image's are. Outside of the image: kIgnoreIndex after a
// warp, mirrored after a crop.
cv::Mat apply_to_mask(const cv::Mat& mask, const std::vector<Step>& steps);

}  // namespace podium::data_shards
