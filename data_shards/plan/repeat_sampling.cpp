// Counts labels and turns factors into whole numbers.
#include "data_shards/plan/repeat_sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "base/text.h"

namespace podium::data_shards {
namespace {

template <typename Visit>
void visit_labels(const SampleRecord& sample, const Visit& visit) {
  for (size_t k = 0; k < sample.class_vector.size(); ++k) {
    if (sample.class_vector[k] == 1.0f) visit(k);
  }
  if (sample.class_index != kNoClass) visit(static_cast<size_t>(sample.class_index));
  for (size_t k = 0; k < sample.mask_pixels.size(); ++k) {
    if (sample.mask_pixels[k] > 0) visit(k);
  }
}

// (K) factor of each label; 1 for one that does not occur.
std::vector<double> factors_of_labels(const Dataset& dataset, const SampleList& indices,
                                      const RepeatOptions& options) {
  std::vector<int64_t> counts(static_cast<size_t>(dataset.num_classes()), 0);
  for (const int64_t index : indices) {
    visit_labels(dataset.sample(index), [&](size_t k) { ++counts[k]; });
  }
  const int64_t most = counts.empty() ? 0 : *std::max_element(counts.begin(), counts.end());
  std::vector<double> factors;
  for (const int64_t count : counts) {
    double factor = 1;
    if (count > 0 && options.balance == SampleBalance::kRepeatFactor) {
      const double share = static_cast<double>(count) / static_cast<double>(indices.size());
      factor = std::sqrt(options.threshold / share);
    } else if (count > 0 && options.balance == SampleBalance::kClassBalanced) {
      factor = static_cast<double>(most) / static_cast<double>(count);
    }
    factors.push_back(std::clamp(factor, 1.0, options.largest_factor));
  }
  return factors;
}

}  // namespace

std::vector<std::string> balance_names() { return {"none", "repeat_factor", "class_balanced"}; }

SampleBalance parse_balance(const std::string& name) {
  const auto names = balance_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) {
    throw RecipeError(fmt::format("unknown balance \"{}\"{}; expected {}", name,
                                  did_you_mean(name, names), join(names, ", ")));
  }
  return static_cast<SampleBalance>(found - names.begin());
}

SampleList repeat_indices(const Dataset& dataset, const SampleList& indices,
                          const RepeatOptions& options, uint64_t seed) {
  if (options.balance == SampleBalance::kNone && options.repeats == 1) return indices;
  const std::vector<double> factors = factors_of_labels(dataset, indices, options);
  SampleListBuilder repeated;
  for (const int64_t index : indices) {
    const SampleRecord sample = dataset.sample(index);
    double factor = 1;
    visit_labels(sample, [&](size_t k) { factor = std::max(factor, factors[k]); });
    const double fraction = factor - std::floor(factor);
    const double draw = static_cast<double>(xxh3_64(sample.key, seed) >> 11) * 0x1p-53;
    const auto whole = static_cast<int64_t>(factor) + (draw < fraction ? 1 : 0);
    for (int64_t i = 0; i < whole * options.repeats; ++i) repeated.add(index);
  }
  return repeated.finish();
}

}  // namespace podium::data_shards
