// The metrics under sample weights. What does not depend on the weights (order, decisions,
// histograms) is prepared once.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/parallel.h"
#include "gather/search/scorer_table.h"
#include "gather/search/scoring.h"
#include "metrics/classification.h"
#include "metrics/mean.h"
#include "metrics/ranking.h"
#include "metrics/segmentation.h"

namespace podium::gather {
using metrics::PredictionTask;
namespace {

using Weights = std::span<const uint16_t>;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double ratio(int64_t numerator, int64_t denominator, double otherwise) {
  return denominator == 0 ? otherwise
                          : static_cast<double>(numerator) / static_cast<double>(denominator);
}

// Average precision from a prepared descending order; ties are closed by a mark.
class MapScorer : public Scorer {
 public:
  MapScorer(const OofTable& table, const Values& values, int num_threads)
      : columns_(table.samples.num_classes()) {
    const size_t num_samples = table.samples.num_samples();
    const auto num_classes = static_cast<int64_t>(columns_.size());
    const std::vector<float> scores = metrics::transpose(values.probabilities, num_classes);
    const std::vector<float> targets = metrics::transpose(table.targets, num_classes);
    parallel_for(num_classes, num_threads, [&](int64_t k) {
      const size_t first = static_cast<size_t>(k) * num_samples;
      prepare(std::span(scores).subspan(first, num_samples),
              std::span(targets).subspan(first, num_samples), columns_[static_cast<size_t>(k)]);
    });
  }

  std::vector<double> per_class(Weights weights) const override {
    std::vector<double> result;
    for (const std::vector<Entry>& column : columns_) {
      result.push_back(average_precision(column, weights));
    }
    return result;
  }

 protected:
  double combine(Weights, const std::vector<double>& per_class) const override {
    return metrics::mean_without_nan(per_class);
  }

 private:
  struct Entry {
    uint32_t sample : 30;
    uint32_t is_positive : 1;
    uint32_t ends_tie : 1;
  };

  static void prepare(std::span<const float> scores, std::span<const float> targets,
                      std::vector<Entry>& column) {
    uint32_t previous = 0;
    for (const uint32_t n : metrics::descending_order(scores)) {
      if (targets[n] < 0) {
        continue;
      }
      if (!column.empty() && scores[previous] != scores[n]) {
        column.back().ends_tie = 1;
      }
      column.push_back({n & 0x3fffffffu, targets[n] > 0 ? 1u : 0u, 0u});
      previous = n;
    }
    if (!column.empty()) {
      column.back().ends_tie = 1;
    }
  }

  static double average_precision(const std::vector<Entry>& column, Weights weights) {
    int64_t positives = 0;
    int64_t seen = 0;
    int64_t counted = 0;
    double sum = 0;
    for (const Entry& entry : column) {
      const int64_t weight = weights[entry.sample];
      seen += weight;
      positives += entry.is_positive != 0 ? weight : 0;
      if (entry.ends_tie != 0 && positives != counted) {
        sum += static_cast<double>(positives - counted) *
               (static_cast<double>(positives) / static_cast<double>(seen));
        counted = positives;
      }
    }
    return positives == 0 ? kNan : sum / static_cast<double>(positives);
  }

  std::vector<std::vector<Entry>> columns_;  // (K) known samples in descending order
};

// F1 of multi-label decisions: one byte per sample and class.
class MultiLabelF1Scorer : public Scorer {
 public:
  MultiLabelF1Scorer(const OofTable& table, const Values& values,
                     const std::vector<double>& thresholds)
      : num_classes_(thresholds.size()), codes_(values.probabilities.size()) {
    for (size_t i = 0; i < codes_.size(); ++i) {
      const bool is_predicted =
          static_cast<double>(values.probabilities[i]) >= thresholds[i % num_classes_];
      codes_[i] =
          table.targets[i] < 0
              ? 0
              : static_cast<uint8_t>((table.targets[i] > 0 ? 1 : 0) | (is_predicted ? 2 : 0));
    }
  }

  std::vector<double> per_class(Weights weights) const override {
    std::vector<int64_t> counts(num_classes_ * 4, 0);
    for (size_t n = 0; n < weights.size(); ++n) {
      for (size_t k = 0; k < num_classes_; ++k) {
        counts[k * 4 + codes_[n * num_classes_ + k]] += weights[n];
      }
    }
    std::vector<double> result;
    for (size_t k = 0; k < num_classes_; ++k) {
      const int64_t* c = &counts[k * 4];
      result.push_back(ratio(2 * c[3], 2 * c[3] + c[1] + c[2], 0.0));
    }
    return result;
  }

 protected:
  double combine(Weights, const std::vector<double>& per_class) const override {
    return metrics::mean_without_nan(per_class);
  }

 private:
  size_t num_classes_;
  std::vector<uint8_t> codes_;  // (N, K) bit 0: is positive, bit 1: is predicted
};

// Accuracy (per class: recall) and macro F1 of single labels.
class SingleLabelScorer : public Scorer {
 public:
  SingleLabelScorer(const OofTable& table, const Values& values, bool is_f1)
      : is_f1_(is_f1),
        num_classes_(static_cast<int64_t>(table.samples.num_classes())),
        targets_(table.class_targets),
        predictions_(metrics::argmax_per_sample(values.probabilities, num_classes_)) {}

  std::vector<double> per_class(Weights weights) const override {
    const std::vector<int64_t> confusion = confusion_under(weights);
    std::vector<double> result;
    for (int64_t k = 0; k < num_classes_; ++k) {
      int64_t row = 0;
      int64_t column = 0;
      for (int64_t j = 0; j < num_classes_; ++j) {
        row += confusion[static_cast<size_t>(k * num_classes_ + j)];
        column += confusion[static_cast<size_t>(j * num_classes_ + k)];
      }
      const int64_t correct = confusion[static_cast<size_t>(k * num_classes_ + k)];
      result.push_back(is_f1_ ? ratio(2 * correct, row + column, 0.0) : ratio(correct, row, kNan));
    }
    return result;
  }

 protected:
  double combine(Weights weights, const std::vector<double>& per_class) const override {
    if (is_f1_) {
      return metrics::mean_without_nan(per_class);
    }
    int64_t known = 0;
    int64_t correct = 0;
    for (size_t n = 0; n < weights.size(); ++n) {
      known += targets_[n] >= 0 ? weights[n] : 0;
      correct += targets_[n] >= 0 && targets_[n] == predictions_[n] ? weights[n] : 0;
    }
    return ratio(correct, known, kNan);
  }

 private:
  std::vector<int64_t> confusion_under(Weights weights) const {
    std::vector<int64_t> confusion(static_cast<size_t>(num_classes_ * num_classes_), 0);
    for (size_t n = 0; n < weights.size(); ++n) {
      if (targets_[n] >= 0) {
        confusion[static_cast<size_t>(targets_[n] * num_classes_ + predictions_[n])] += weights[n];
      }
    }
    return confusion;
  }

  bool is_f1_;
  int64_t num_classes_;
  std::vector<int64_t> targets_, predictions_;
};

enum class MaskScore { kDiceGlobal, kDicePerImage, kMeanIouPerImage, kMeanIouGlobal };

// Dice and mean IoU from one histogram per image.
class MaskScorer : public Scorer {
 public:
  MaskScorer(MaskScore score, const OofTable& table, const std::vector<uint8_t>& decided)
      : score_(score), has_background_only_in_targets_(table.samples.num_classes() == 1) {
    const auto num_labels = static_cast<int64_t>(std::max<size_t>(2, table.samples.num_classes()));
    for (size_t n = 0; n < table.samples.num_samples(); ++n) {
      const size_t first = table.samples.pixel_offsets[n];
      const size_t count = table.samples.num_pixels(n);
      images_.emplace_back(num_labels);
      images_.back().add(std::span(table.mask_targets).subspan(first, count),
                         std::span(decided).subspan(first, count));
      per_image_.push_back(score == MaskScore::kDicePerImage
                               ? metrics::dice_global(std::span(&images_.back(), 1), 1)
                               : images_.back().mean_iou());
    }
  }

  std::vector<double> per_class(Weights weights) const override {
    std::vector<double> ious = total(weights).iou_per_class();
    if (has_background_only_in_targets_) {
      ious.erase(ious.begin());
    }
    return ious;
  }

 protected:
  double combine(Weights weights, const std::vector<double>&) const override {
    if (score_ == MaskScore::kDiceGlobal) {
      const metrics::Confusion sum = total(weights);
      return metrics::dice_global(std::span(&sum, 1), 1);
    }
    if (score_ == MaskScore::kMeanIouGlobal) {
      return total(weights).mean_iou();
    }
    double sum = 0;
    int64_t count = 0;
    for (size_t n = 0; n < weights.size(); ++n) {
      if (weights[n] != 0 && !std::isnan(per_image_[n])) {
        sum += weights[n] * per_image_[n];
        count += weights[n];
      }
    }
    return count == 0 ? kNan : sum / static_cast<double>(count);
  }

 private:
  metrics::Confusion total(Weights weights) const {
    metrics::Confusion sum(images_.front().num_classes);
    for (size_t n = 0; n < weights.size(); ++n) {
      for (size_t i = 0; i < sum.counts.size(); ++i) {
        sum.counts[i] += weights[n] * images_[n].counts[i];
      }
    }
    return sum;
  }

  MaskScore score_;
  bool has_background_only_in_targets_;  // K = 1: the only class is label 1
  std::vector<metrics::Confusion> images_;
  std::vector<double> per_image_;
};

ScorerPointer make_mask_scorer(MaskScore score, const OofTable& table, const Values& values,
                               const Decision& decision) {
  const int level = decision.mask ? decision.mask->level : 0;
  return std::make_unique<MaskScorer>(score, table, decide_masks(table.samples, values, level));
}

}  // namespace

std::vector<uint8_t> decide_masks(const Samples& samples, const Values& values, int level) {
  std::vector<uint8_t> labels(samples.pixel_offsets.back(), 0);
  const size_t num_classes = samples.num_classes();
  for (size_t n = 0; n < samples.num_samples(); ++n) {
    const size_t num_pixels = samples.num_pixels(n);
    uint8_t* out = &labels[samples.pixel_offsets[n]];
    if (samples.is_binary_mask()) {
      const auto levels = foreground(samples, values, n);
      for (size_t i = 0; i < num_pixels; ++i) {
        out[i] = levels[i] >= level ? 1 : 0;
      }
      continue;
    }
    const uint16_t* maps = &values.mask_probabilities[samples.pixel_offsets[n] * num_classes];
    for (size_t i = 0; i < num_pixels; ++i) {
      for (size_t k = 1; k < num_classes; ++k) {
        if (maps[k * num_pixels + i] > maps[out[i] * num_pixels + i]) {
          out[i] = static_cast<uint8_t>(k);
        }
      }
    }
  }
  return labels;
}

ScorerPointer make_map(const OofTable& table, const Values& values, const Decision&,
                       int num_threads) {
  return std::make_unique<MapScorer>(table, values, num_threads);
}

ScorerPointer make_accuracy(const OofTable& table, const Values& values, const Decision&, int) {
  return std::make_unique<SingleLabelScorer>(table, values, false);
}

ScorerPointer make_macro_f1(const OofTable& table, const Values& values, const Decision& decision,
                            int) {
  if (table.samples.task == PredictionTask::kSingleLabel) {
    return std::make_unique<SingleLabelScorer>(table, values, true);
  }
  if (!decision.classes) {
    throw InternalError("macro F1 of multi-label predictions needs thresholds");
  }
  return std::make_unique<MultiLabelF1Scorer>(table, values, decision.classes->thresholds);
}

ScorerPointer make_dice_global(const OofTable& table, const Values& values,
                               const Decision& decision, int) {
  return make_mask_scorer(MaskScore::kDiceGlobal, table, values, decision);
}

ScorerPointer make_dice_per_image(const OofTable& table, const Values& values,
                                  const Decision& decision, int) {
  return make_mask_scorer(MaskScore::kDicePerImage, table, values, decision);
}

ScorerPointer make_mean_iou_per_image(const OofTable& table, const Values& values,
                                      const Decision& decision, int) {
  return make_mask_scorer(MaskScore::kMeanIouPerImage, table, values, decision);
}

ScorerPointer make_mean_iou_global(const OofTable& table, const Values& values,
                                   const Decision& decision, int) {
  return make_mask_scorer(MaskScore::kMeanIouGlobal, table, values, decision);
}

}  // namespace podium::gather
