// Metrics of segmentation: all from per-image confusion histograms, whose sums are exact integers.
#include "metrics/segmentation.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "metrics/mean.h"

namespace podium::metrics {
namespace {

constexpr uint8_t kIgnored = 255;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Confusion sum_of(std::span<const Confusion> images) {
  if (images.empty()) {
    throw DataError("no image to score; expected at least one confusion histogram");
  }
  Confusion total(images.front().num_classes);
  for (const Confusion& image : images) {
    total.add(image);
  }
  return total;
}

struct ClassPixels {
  int64_t both = 0, target = 0, predicted = 0;
};

ClassPixels class_pixels(const Confusion& confusion, int64_t c) {
  ClassPixels pixels;
  for (int64_t j = 0; j < confusion.num_classes; ++j) {
    pixels.target += confusion.counts[static_cast<size_t>(c * confusion.num_classes + j)];
    pixels.predicted += confusion.counts[static_cast<size_t>(j * confusion.num_classes + c)];
  }
  pixels.both = confusion.counts[static_cast<size_t>(c * confusion.num_classes + c)];
  return pixels;
}

double dice_of(const Confusion& confusion, int64_t class_index) {
  const ClassPixels pixels = class_pixels(confusion, class_index);
  const int64_t denominator = pixels.target + pixels.predicted;
  return denominator == 0
             ? 1.0
             : 2.0 * static_cast<double>(pixels.both) / static_cast<double>(denominator);
}

}  // namespace

void Confusion::add(std::span<const uint8_t> targets, std::span<const uint8_t> predictions) {
  if (targets.size() != predictions.size()) {
    throw DataError(fmt::format("a mask of {} pixels but {} predictions; expected equal sizes",
                                targets.size(), predictions.size()));
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] == kIgnored) {
      continue;
    }
    if (targets[i] >= num_classes || predictions[i] >= num_classes) {
      throw DataError(fmt::format(
          "pixel {}: target {} and prediction {} must be below {} classes (255 is ignored)", i,
          targets[i], predictions[i], num_classes));
    }
    ++counts[static_cast<size_t>(targets[i] * num_classes + predictions[i])];
  }
}

void Confusion::add(const Confusion& other) {
  if (other.num_classes != num_classes) {
    throw DataError(fmt::format("a histogram of {} classes cannot be added to one of {}",
                                other.num_classes, num_classes));
  }
  for (size_t i = 0; i < counts.size(); ++i) {
    counts[i] += other.counts[i];
  }
}

std::vector<double> Confusion::iou_per_class() const {
  std::vector<double> result;
  for (int64_t c = 0; c < num_classes; ++c) {
    const ClassPixels pixels = class_pixels(*this, c);
    const int64_t either = pixels.target + pixels.predicted - pixels.both;
    result.push_back(either == 0 ? kNan
                                 : static_cast<double>(pixels.both) / static_cast<double>(either));
  }
  return result;
}

double Confusion::mean_iou() const { return mean_without_nan(iou_per_class()); }

double mean_iou_per_batch(std::span<const Confusion> images, int64_t images_per_batch) {
  if (images_per_batch <= 0) {
    throw DataError(fmt::format("{} images per batch; expected at least 1", images_per_batch));
  }
  std::vector<double> values;
  for (size_t first = 0; first < images.size(); first += static_cast<size_t>(images_per_batch)) {
    const size_t count = std::min(images.size() - first, static_cast<size_t>(images_per_batch));
    values.push_back(sum_of(images.subspan(first, count)).mean_iou());
  }
  return mean_without_nan(values);
}

double mean_iou_global(std::span<const Confusion> images) { return sum_of(images).mean_iou(); }

double mean_iou_per_image(std::span<const Confusion> images) {
  return mean_iou_per_batch(images, 1);
}

double dice_global(std::span<const Confusion> images, int64_t class_index) {
  return dice_of(sum_of(images), class_index);
}

double dice_per_image(std::span<const Confusion> images, int64_t class_index) {
  if (images.empty()) {
    throw DataError("no image to score; expected at least one confusion histogram");
  }
  double sum = 0;
  for (const Confusion& image : images) {
    sum += dice_of(image, class_index);
  }
  return sum / static_cast<double>(images.size());
}

}  // namespace podium::metrics
