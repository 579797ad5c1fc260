// The global threshold of binary masks: exact over all levels, by histograms of foreground and
// background pixels.
#include <algorithm>
#include <array>
#include <cmath>

#include "gather/search/thresholds.h"

namespace podium::gather {
namespace {

constexpr int kNumLevels = 65536;
constexpr int kHalfLevel = 32768;  // the first level that is >= 0.5
constexpr uint8_t kIgnored = 255;
constexpr int kCurvePoints = 101;

// Sums over the images of one part, for every level.
struct PartSums {
  std::vector<int64_t> both =
      std::vector<int64_t>(kNumLevels, 0);  // foreground pixels that are predicted
  std::vector<int64_t> predicted = std::vector<int64_t>(kNumLevels, 0);
  std::vector<double> dice = std::vector<double>(kNumLevels, 0.0);  // sum of the images' Dice
  int64_t target = 0;
  int64_t num_images = 0;

  void add(const PartSums& other) {
    for (size_t level = 0; level < kNumLevels; ++level) {
      both[level] += other.both[level];
      predicted[level] += other.predicted[level];
      dice[level] += other.dice[level];
    }
    target += other.target;
    num_images += other.num_images;
  }

  double dice_at(int level, DiceKind kind) const {
    const auto at = static_cast<size_t>(level);
    if (kind == DiceKind::kPerImage) {
      return num_images == 0 ? 0.0 : dice[at] / static_cast<double>(num_images);
    }
    const int64_t denominator = target + predicted[at];
    return denominator == 0
               ? 1.0
               : 2.0 * static_cast<double>(both[at]) / static_cast<double>(denominator);
  }

  // Ties: nearest to 0.5, then the lower level.
  int best_level(DiceKind kind) const {
    int best = kHalfLevel;
    for (int level = 0; level < kNumLevels; ++level) {
      const double difference = dice_at(level, kind) - dice_at(best, kind);
      if (difference > 0 ||
          (difference == 0 && std::abs(level - kHalfLevel) < std::abs(best - kHalfLevel))) {
        best = level;
      }
    }
    return best;
  }
};

void add_image(PartSums& sums, std::span<const uint16_t> levels, std::span<const uint8_t> targets) {
  std::vector<int32_t> foreground_at(kNumLevels, 0);
  std::vector<int32_t> known_at(kNumLevels, 0);
  int64_t target = 0;
  for (size_t i = 0; i < levels.size(); ++i) {
    if (targets[i] == kIgnored) {
      continue;
    }
    ++known_at[levels[i]];
    foreground_at[levels[i]] += targets[i] == 1 ? 1 : 0;
    target += targets[i] == 1 ? 1 : 0;
  }
  int64_t both = 0;
  int64_t predicted = 0;
  for (size_t level = kNumLevels; level-- > 0;) {
    both += foreground_at[level];
    predicted += known_at[level];
    sums.both[level] += both;
    sums.predicted[level] += predicted;
    const int64_t denominator = target + predicted;
    sums.dice[level] +=
        denominator == 0 ? 1.0 : 2.0 * static_cast<double>(both) / static_cast<double>(denominator);
  }
  sums.target += target;
  ++sums.num_images;
}

}  // namespace

std::span<const uint16_t> foreground(const Samples& samples, const Values& values, size_t n) {
  const size_t num_classes = samples.num_classes();
  const size_t num_pixels = samples.num_pixels(n);
  return std::span(values.mask_probabilities)
      .subspan(samples.pixel_offsets[n] * num_classes + (num_classes - 1) * num_pixels, num_pixels);
}

MaskThreshold fit_mask_threshold(const OofTable& table, const Values& values, DiceKind kind) {
  const FoldParts parts = fold_parts(table);
  std::vector<PartSums> sums(parts.names.size());
  for (size_t n = 0; n < table.samples.num_samples(); ++n) {
    const auto targets = std::span(table.mask_targets)
                             .subspan(table.samples.pixel_offsets[n], table.samples.num_pixels(n));
    add_image(sums[static_cast<size_t>(parts.part_of[n])], foreground(table.samples, values, n),
              targets);
  }
  PartSums total;
  for (const PartSums& part : sums) {
    total.add(part);
  }
  MaskThreshold result;
  result.level = total.best_level(kind);
  result.threshold = static_cast<double>(result.level) / (kNumLevels - 1);
  result.dice_in_sample = total.dice_at(result.level, kind);
  result.dice_at_half = total.dice_at(kHalfLevel, kind);
  PartSums nested;  // at level 0: the sums of each part at the level fitted without it
  for (size_t p = 0; p < sums.size(); ++p) {
    PartSums others;
    for (size_t q = 0; q < sums.size(); ++q) {
      if (q != p) {
        others.add(sums[q]);
      }
    }
    const int level = others.best_level(kind);
    result.part_thresholds.push_back(static_cast<double>(level) / (kNumLevels - 1));
    nested.both[0] += sums[p].both[static_cast<size_t>(level)];
    nested.predicted[0] += sums[p].predicted[static_cast<size_t>(level)];
    nested.dice[0] += sums[p].dice[static_cast<size_t>(level)];
    nested.target += sums[p].target;
    nested.num_images += sums[p].num_images;
  }
  result.dice_nested = nested.dice_at(0, kind);
  for (int i = 0; i < kCurvePoints; ++i) {
    const int level = static_cast<int>(
        std::lround(static_cast<double>(i) * (kNumLevels - 1) / (kCurvePoints - 1)));
    result.curve_thresholds.push_back(static_cast<double>(level) / (kNumLevels - 1));
    result.curve_global.push_back(total.dice_at(level, DiceKind::kGlobal));
    result.curve_per_image.push_back(total.dice_at(level, DiceKind::kPerImage));
  }
  return result;
}

}  // namespace podium::gather
