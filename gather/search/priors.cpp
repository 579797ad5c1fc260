// Constant answers and their scores.
#include "gather/search/priors.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gather/search/scoring.h"
#include "metrics/mean.h"

namespace podium::gather {
using metrics::PredictionTask;
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr uint8_t kIgnored = 255;

// Pixels or samples of each class, and how many are known. Multi-label classes are known
// separately.
struct ClassShares {
  std::vector<int64_t> positives, known;
};

ClassShares class_shares(const OofTable& table) {
  const bool is_one_class_mask =
      table.samples.task == PredictionTask::kSegmentation && table.samples.num_classes() == 1;
  const size_t num_classes = table.samples.num_classes();
  ClassShares shares{std::vector<int64_t>(num_classes, 0), std::vector<int64_t>(num_classes, 0)};
  for (size_t i = 0; i < table.targets.size(); ++i) {
    shares.positives[i % num_classes] += table.targets[i] > 0 ? 1 : 0;
    shares.known[i % num_classes] += table.targets[i] >= 0 ? 1 : 0;
  }
  int64_t num_known = 0;
  for (const int64_t target : table.class_targets) {
    if (target >= 0) {
      ++shares.positives[static_cast<size_t>(target)];
      ++num_known;
    }
  }
  for (const uint8_t target : table.mask_targets) {
    if (target != kIgnored) {
      ++num_known;
      if (!is_one_class_mask || target == 1) {
        ++shares.positives[is_one_class_mask ? 0 : target];
      }
    }
  }
  if (num_known > 0) {
    std::fill(shares.known.begin(), shares.known.end(), num_known);
  }
  return shares;
}

}  // namespace

std::vector<double> class_priors(const OofTable& table) {
  const ClassShares shares = class_shares(table);
  std::vector<double> priors;
  for (size_t k = 0; k < shares.known.size(); ++k) {
    priors.push_back(shares.known[k] == 0 ? kNan
                                          : static_cast<double>(shares.positives[k]) /
                                                static_cast<double>(shares.known[k]));
  }
  return priors;
}

double map_prior(const ScorerRow&, const OofTable& table) {
  std::vector<double> priors = class_priors(table);
  std::replace(priors.begin(), priors.end(), 0.0, kNan);  // no positive: no average precision
  return metrics::mean_without_nan(priors);
}

double accuracy_prior(const ScorerRow&, const OofTable& table) {
  const std::vector<double> priors = class_priors(table);
  return *std::max_element(priors.begin(), priors.end());
}

double macro_f1_prior(const ScorerRow&, const OofTable& table) {
  std::vector<double> priors = class_priors(table);
  if (table.samples.task == PredictionTask::kSingleLabel) {
    const double largest = *std::max_element(priors.begin(), priors.end());
    return 2 * largest / (1 + largest) / static_cast<double>(priors.size());
  }
  for (double& prior : priors) {
    prior = 2 * prior / (1 + prior);
  }
  return metrics::mean_without_nan(priors);
}

double mask_prior(const ScorerRow& row, const OofTable& table) {
  const size_t num_answers = table.samples.is_binary_mask() ? 2 : table.samples.num_classes();
  double best = kNan;
  for (size_t answer = 0; answer < num_answers; ++answer) {
    Values constant;
    const size_t num_classes = table.samples.num_classes();
    for (size_t n = 0; n < table.samples.num_samples(); ++n) {
      for (size_t k = 0; k < num_classes; ++k) {
        const bool is_high = num_classes == 1 ? answer == 1 : k == answer;
        constant.mask_probabilities.insert(constant.mask_probabilities.end(),
                                           table.samples.num_pixels(n), is_high ? 65535 : 0);
      }
    }
    Decision decision;
    decision.mask = MaskThreshold();
    const auto scorer = row.create(table, constant, decision, 1);
    const double score = scorer->score(std::vector<uint16_t>(table.samples.num_samples(), 1));
    best = std::isnan(best) || score > best ? score : best;
  }
  return best;
}

}  // namespace podium::gather
