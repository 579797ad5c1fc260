// Each rule of a prediction set, with the sample and class that break it.
#include "metrics/prediction_check.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace podium::metrics {
namespace {

constexpr uint8_t kIgnoredPixel = 255;
constexpr float kLargestHalf = 65504;

void require_size(const char* what, size_t found, size_t expected) {
  if (found != expected) {
    throw DataError(fmt::format("{} {}, expected {}", found, what, expected));
  }
}

void check_keys(const PredictionSet& set) {
  if (set.keys.empty() || set.classes.empty()) {
    throw DataError(fmt::format("{} samples and {} classes; expected at least one of each",
                                set.keys.size(), set.classes.size()));
  }
  for (size_t n = 1; n < set.keys.size(); ++n) {
    if (set.keys[n - 1] == set.keys[n]) {
      throw DataError(
          fmt::format("key \"{}\" occurs twice; predict each sample once", set.keys[n]));
    }
    if (set.keys[n - 1] > set.keys[n]) {
      throw DataError(fmt::format("keys are not ascending: \"{}\" before \"{}\"", set.keys[n - 1],
                                  set.keys[n]));
    }
  }
}

void check_image_sizes(const PredictionSet& set) {
  if (set.image_heights.empty() && set.image_widths.empty()) return;
  require_size("image heights", set.image_heights.size(), set.keys.size());
  require_size("image widths", set.image_widths.size(), set.keys.size());
  for (size_t n = 0; n < set.keys.size(); ++n) {
    if (set.image_heights[n] <= 0 || set.image_widths[n] <= 0) {
      throw DataError(fmt::format("sample \"{}\": an image of {} x {} px, expected at least 1 x 1",
                                  set.keys[n], set.image_heights[n], set.image_widths[n]));
    }
  }
}

// Where a set holds logits it holds no probabilities, and the other way round.
void check_value_kind(const PredictionSet& set) {
  if (!set.has_logits()) {
    require_size("logits in a set of probabilities", set.logits.size(), 0);
    return;
  }
  require_size("probabilities in a set of logits",
               set.probabilities.size() + set.mask_probabilities.size(), 0);
  if (set.value_type == ValueType::kUint16) {
    throw DataError(
        "logits of type uint16, expected fp32 or fp16: only probabilities lie in 0 to 1");
  }
  const float largest =
      set.value_type == ValueType::kFloat16 ? kLargestHalf : std::numeric_limits<float>::max();
  for (size_t i = 0; i < set.logits.size(); ++i) {
    if (!(std::abs(set.logits[i]) <= largest)) {
      throw DataError(fmt::format("logit {} is {}, expected a number from {} to {} in {}", i,
                                  set.logits[i], -largest, largest,
                                  value_type_name(set.value_type)));
    }
  }
}

void check_class_values(const PredictionSet& set) {
  const size_t num_samples = set.keys.size();
  const size_t num_classes = set.classes.size();
  require_size(set.has_logits() ? "logits" : "probabilities",
               set.has_logits() ? set.logits.size() : set.probabilities.size(),
               num_samples * num_classes);
  for (size_t i = 0; i < set.probabilities.size(); ++i) {
    const float p = set.probabilities[i];
    if (!(p >= 0.0f && p <= 1.0f)) {
      throw DataError(fmt::format("sample \"{}\", class \"{}\": probability {}, expected 0 to 1",
                                  set.keys[i / num_classes], set.classes[i % num_classes], p));
    }
  }
  if (set.task == PredictionTask::kMultiLabel) {
    require_size("targets", set.targets.size(),
                 set.targets.empty() ? 0 : num_samples * num_classes);
    require_size("class targets in a multi-label set", set.class_targets.size(), 0);
  } else {
    require_size("class targets", set.class_targets.size(),
                 set.class_targets.empty() ? 0 : num_samples);
    require_size("multi-label targets in a single-label set", set.targets.size(), 0);
  }
  for (size_t i = 0; i < set.targets.size(); ++i) {
    const float t = set.targets[i];
    if (t != 0.0f && t != 1.0f && t != -1.0f) {
      throw DataError(
          fmt::format("sample \"{}\", class \"{}\": target {}, expected 0, 1 or -1 (unknown)",
                      set.keys[i / num_classes], set.classes[i % num_classes], t));
    }
  }
  for (size_t n = 0; n < set.class_targets.size(); ++n) {
    if (set.class_targets[n] < -1 || set.class_targets[n] >= set.num_classes()) {
      throw DataError(fmt::format("sample \"{}\": class {}, expected -1 (unknown) to {}",
                                  set.keys[n], set.class_targets[n], num_classes - 1));
    }
  }
}

void check_masks(const PredictionSet& set) {
  const size_t num_samples = set.keys.size();
  require_size("mask heights", set.mask_heights.size(), num_samples);
  require_size("mask widths", set.mask_widths.size(), num_samples);
  size_t num_pixels = 0;
  for (size_t n = 0; n < num_samples; ++n) {
    if (set.mask_heights[n] <= 0 || set.mask_widths[n] <= 0) {
      throw DataError(fmt::format("sample \"{}\": a mask of {} x {} px, expected at least 1 x 1",
                                  set.keys[n], set.mask_heights[n], set.mask_widths[n]));
    }
    num_pixels +=
        static_cast<size_t>(set.mask_heights[n]) * static_cast<size_t>(set.mask_widths[n]);
  }
  require_size(set.has_logits() ? "mask logits" : "mask probabilities",
               set.has_logits() ? set.logits.size() : set.mask_probabilities.size(),
               num_pixels * set.classes.size());
  require_size("mask targets", set.mask_targets.size(), set.mask_targets.empty() ? 0 : num_pixels);
  const int64_t num_values = set.num_classes() == 1 ? 2 : set.num_classes();
  for (size_t i = 0; i < set.mask_targets.size(); ++i) {
    if (set.mask_targets[i] >= num_values && set.mask_targets[i] != kIgnoredPixel) {
      throw DataError(fmt::format("mask pixel {}: class {}, expected 0 to {} or 255 (ignored)", i,
                                  set.mask_targets[i], num_values - 1));
    }
  }
}

}  // namespace

void check_predictions(const PredictionSet& set) {
  check_keys(set);
  check_value_kind(set);
  check_image_sizes(set);
  if (set.fold < -1) {
    throw DataError(fmt::format("fold {}, expected -1 (none) or more", set.fold));
  }
  if (set.task == PredictionTask::kSegmentation) {
    check_masks(set);
  } else {
    check_class_values(set);
  }
}

}  // namespace podium::metrics
