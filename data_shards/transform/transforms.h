// Transforms of a decoded sample, from a recipe's op list to a normalised float image. Read next:
// transform_table.h, ../load/loader.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <opencv2/core/mat.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/recipe/recipe.h"
#include "base/rng.h"

namespace podium::data_shards {

class ImageSource;

// The micro-batches that share a choice: all of a step.
struct BatchKey {
  uint64_t seed = 0;
  int64_t epoch = 0;
  int64_t step = 0;
};

// Geometry is applied to image and mask alike, masks by nearest sampling; the rest to the image
// only. Random: kAugment, keyed by (seed, epoch, hash of the sample's key): equal for any thread,
// rank and order.
class TransformPipeline {
 public:
  // Errors: RecipeError naming the op ("sizes differ within a batch: add resize or a crop with a
  // fixed size").
  explicit TransformPipeline(const std::vector<PartSpec>& ops);
  ~TransformPipeline();
  TransformPipeline(TransformPipeline&&) noexcept;

  int64_t channels() const;  // of the output: 3, or 1 after grayscale
  // Output size; {0, 0} when it depends on the image (evaluation with batch 1). With an op whose
  // size is drawn for a micro-batch: the largest.
  std::array<int64_t, 2> output_size() const;  // height, width in px
  // True with an op whose size is drawn for a micro-batch; for_batch() then draws it.
  bool has_batch_choices() const;

  // Decodes the encoded image (JPEG, PNG, WebP, TIFF) and applies all ops. Normalised float32 CHW
  // goes to `output` when the size is fixed and `output` is not null; otherwise a (C, H, W) tensor
  // is returned. `mask` (may be null) follows the geometry in place. `extension` names the member
  // in messages; the format is found from the bytes. Errors: DataError "jpg: cannot decode ...", or
  // when the mask has another size than the image.
  at::Tensor run(std::string_view encoded, const std::string& extension, cv::Mat* mask, Rng rng,
                 float* output) const;
  // The same of an image that is open already.
  at::Tensor run(ImageSource* image, const std::string& extension, cv::Mat* mask, Rng rng,
                 float* output) const;

  // A (C, H, W) image as run() makes it, back to RGB bytes: for people to look at.
  cv::Mat to_bytes(const at::Tensor& image) const;

 private:
  friend std::shared_ptr<const TransformPipeline> for_batch(
      std::shared_ptr<const TransformPipeline> pipeline, const BatchKey& key);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The pipeline for one micro-batch: `pipeline` itself when it has no choices to make.
std::shared_ptr<const TransformPipeline> for_batch(
    std::shared_ptr<const TransformPipeline> pipeline, const BatchKey& key);

}  // namespace podium::data_shards
