// Sigmoid and softmax, over the rows of a table or the classes of each pixel.
#include "metrics/activation.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

namespace podium::metrics {
namespace {

// Replaces the K logits of one sample or pixel by their probabilities.
void activate(std::vector<double>& values, ValueKind kind) {
  if (kind == ValueKind::kSigmoidLogits) {
    for (double& value : values) value = 1 / (1 + std::exp(-value));
    return;
  }
  const double largest = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (double& value : values) {
    value = std::exp(value - largest);
    sum += value;
  }
  for (double& value : values) value /= sum;
}

// Reads the K logits at first, first + stride, ... and gives each probability to `write`.
void activate_at(const std::vector<float>& logits, size_t first, size_t stride, ValueKind kind,
                 std::vector<double>& values,
                 const std::function<void(size_t index, double probability)>& write) {
  for (size_t k = 0; k < values.size(); ++k) {
    values[k] = static_cast<double>(logits[first + k * stride]);
  }
  activate(values, kind);
  for (size_t k = 0; k < values.size(); ++k) write(first + k * stride, values[k]);
}

}  // namespace

PredictionSet with_probabilities(PredictionSet set) {
  if (!set.has_logits()) return set;
  const size_t num_classes = set.classes.size();
  std::vector<double> values(num_classes);
  if (set.task == PredictionTask::kSegmentation) {
    set.mask_probabilities.resize(set.logits.size());
    size_t first = 0;
    for (size_t n = 0; n < set.keys.size(); ++n) {
      const size_t num_pixels =
          static_cast<size_t>(set.mask_heights[n]) * static_cast<size_t>(set.mask_widths[n]);
      for (size_t pixel = 0; pixel < num_pixels; ++pixel) {
        activate_at(set.logits, first + pixel, num_pixels, set.value_kind, values,
                    [&](size_t i, double p) {
                      set.mask_probabilities[i] = static_cast<uint16_t>(std::lround(p * 65535));
                    });
      }
      first += num_classes * num_pixels;
    }
  } else {
    set.probabilities.resize(set.logits.size());
    for (size_t n = 0; n < set.keys.size(); ++n) {
      activate_at(set.logits, n * num_classes, 1, set.value_kind, values,
                  [&](size_t i, double p) { set.probabilities[i] = static_cast<float>(p); });
    }
  }
  set.logits = {};
  set.value_kind = ValueKind::kProbabilities;
  set.value_type = ValueType::kFloat32;
  return set;
}

}  // namespace podium::metrics
