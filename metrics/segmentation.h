// Metrics of segmentation: confusion histograms, Dice, and the three mean IoUs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace podium::metrics {

// Confusion histogram of K classes: counts[target * K + prediction] in pixels. Sums are exact and
// order-free.
struct Confusion {
  explicit Confusion(int64_t classes)
      : num_classes(classes), counts(static_cast<size_t>(classes * classes), 0) {}
  int64_t num_classes;
  std::vector<int64_t> counts;
  // Pixels with target 255 are left out. Errors: DataError when a target >= K.
  void add(std::span<const uint8_t> targets, std::span<const uint8_t> predictions);
  void add(const Confusion& other);
  // IoU_c = h_cc / (row_c + column_c - h_cc); NaN when 0 / 0.
  std::vector<double> iou_per_class() const;
  // Mean over the classes whose IoU is not NaN; NaN when all are.
  double mean_iou() const;
};

// Mean over batches of each batch's mean IoU (depends on the batch size). `images_per_batch`
// consecutive images form a batch.
double mean_iou_per_batch(std::span<const Confusion> images, int64_t images_per_batch);
// Mean IoU of one histogram over all images.
double mean_iou_global(std::span<const Confusion> images);
// Mean over images of each image's mean IoU.
double mean_iou_per_image(std::span<const Confusion> images);

// Dice = 2 |A and B| / (|A| + |B|) of one class over all images (global) and as a mean over images;
// an image without the class in target and prediction counts 1.
double dice_global(std::span<const Confusion> images, int64_t class_index);
double dice_per_image(std::span<const Confusion> images, int64_t class_index);

}  // namespace podium::metrics
