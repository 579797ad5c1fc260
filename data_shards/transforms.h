// Transforms of a decoded sample, from a recipe's op list to a normalised float image. Read next: loader.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/recipe.h"
#include "base/rng.h"
#include "data_shards/sample.h"

namespace podium::data_shards {

// The ops that data.train_transforms and data.eval_transforms may name, with their parameters: resize, random_resized_crop,
// center_crop, random_crop, hflip, vflip, rotate90, grayscale, sharpening, normalize.
std::vector<OpSchema> transform_schemas();

// What the decoder may leave out: the transform that comes first decides (crop before the rest is decoded, scaled DCT).
struct DecodeHint {
  int64_t min_height = 0;  // px that the next resize needs; 0: full size
  int64_t min_width = 0;
};

// Geometry is applied to image and mask alike, masks by nearest sampling; the rest to the image only.
// Random: kAugment, keyed by (seed, epoch, hash of the sample's key): equal for any thread, rank and order.
class TransformPipeline {
 public:
  // Errors: RecipeError naming the op ("sizes differ within a batch: add resize or a crop with a fixed size").
  explicit TransformPipeline(const std::vector<OpSpec>& ops);
  ~TransformPipeline();
  TransformPipeline(TransformPipeline&&) noexcept;

  int64_t channels() const;  // of the output: 3, or 1 after grayscale
  // Output size; {0, 0} when it depends on the image (evaluation with batch 1).
  std::array<int64_t, 2> output_size() const;  // height, width in px

  // Decodes the encoded image (JPEG, PNG, WebP, TIFF) and applies all ops; writes normalised float32 CHW to `output` when the size
  // is fixed, else returns a tensor. `mask` (may be null) follows the geometry in place.
  // Errors: DataError "cannot decode ...".
  at::Tensor run(std::string_view encoded, const std::string& extension, cv::Mat* mask, Rng rng, float* output) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace podium::data_shards
