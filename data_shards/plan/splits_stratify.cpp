// Iterative stratification and random splits.
#include "data_shards/plan/splits_stratify.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/parallel.h"
#include "base/rng.h"

namespace podium::data_shards {
namespace {

// Numbers a = 0, 1, ... of the kSplit streams belong to the tries of best_random_split.
constexpr uint64_t kUnitKeys = uint64_t{1} << 32;
constexpr uint64_t kTieKeys = kUnitKeys + 1;

class Stratifier {
 public:
  Stratifier(const StratifyInput& input, const std::vector<double>& ratios, uint64_t seed)
      : input_(input),
        seed_(seed),
        fold_of_(input.sizes.size(), -1),
        left_(input.class_totals()),
        units_of_(static_cast<size_t>(input.num_classes)) {
    Rng rng(seed, RandomPurpose::kSplit, kUnitKeys);
    for (size_t i = 0; i < input.sizes.size(); ++i) unit_keys_.push_back(rng.next_u64());
    for (double ratio : ratios) {
      wanted_.push_back(ratio * static_cast<double>(input.num_samples()));
      wanted_of_.emplace_back();
      for (int64_t total : left_) wanted_of_.back().push_back(ratio * static_cast<double>(total));
    }
    for (size_t i = 0; i < input.positives.size(); ++i) {
      for (const auto& [label, count] : input.positives[i]) {
        units_of_[static_cast<size_t>(label)].push_back({count, i});
      }
    }
  }

  std::vector<int32_t> run() {
    for (size_t label; (label = rarest_label()) != kNone;) deal_out_label(label);
    deal_out_rest();
    return std::move(fold_of_);
  }

 private:
  static constexpr size_t kNone = std::numeric_limits<size_t>::max();

  // The label with the fewest (at least 1) samples left; ties by key.
  size_t rarest_label() const {
    size_t best = kNone;
    for (size_t label = 0; label < left_.size(); ++label) {
      if (left_[label] == 0) continue;
      if (best == kNone || left_[label] < left_[best] ||
          (left_[label] == left_[best] && tie_key(label, 0) < tie_key(best, 0))) {
        best = label;
      }
    }
    return best;
  }

  void deal_out_label(size_t label) {
    auto& units = units_of_[label];
    // Large units first: small ones can still fill what they leave.
    std::sort(units.begin(), units.end(), [&](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : is_before(a.second, b.second);
    });
    for (const auto& [count, unit] : units) {
      if (fold_of_[unit] < 0) assign(unit, best_fold(unit, &label));
    }
  }

  void deal_out_rest() {
    std::vector<size_t> rest;
    for (size_t unit = 0; unit < fold_of_.size(); ++unit) {
      if (fold_of_[unit] < 0) rest.push_back(unit);
    }
    std::sort(rest.begin(), rest.end(), [&](size_t a, size_t b) {
      return input_.sizes[a] != input_.sizes[b] ? input_.sizes[a] > input_.sizes[b]
                                                : is_before(a, b);
    });
    for (size_t unit : rest) assign(unit, best_fold(unit, nullptr));
  }

  // The fold that wants the label most, then samples most, then by key.
  size_t best_fold(size_t unit, const size_t* label) const {
    size_t best = 0;
    for (size_t fold = 1; fold < wanted_.size(); ++fold) {
      const double of_label = label ? wanted_of_[fold][*label] - wanted_of_[best][*label] : 0.0;
      const double of_all = wanted_[fold] - wanted_[best];
      if (of_label > 0 || (of_label == 0 && of_all > 0) ||
          (of_label == 0 && of_all == 0 && tie_key(unit, fold + 1) < tie_key(unit, best + 1))) {
        best = fold;
      }
    }
    return best;
  }

  void assign(size_t unit, size_t fold) {
    fold_of_[unit] = static_cast<int32_t>(fold);
    wanted_[fold] -= static_cast<double>(input_.sizes[unit]);
    for (const auto& [label, count] : input_.positives[unit]) {
      wanted_of_[fold][static_cast<size_t>(label)] -= static_cast<double>(count);
      left_[static_cast<size_t>(label)] -= count;
    }
  }

  bool is_before(size_t a, size_t b) const {
    return unit_keys_[a] != unit_keys_[b] ? unit_keys_[a] < unit_keys_[b] : a < b;
  }

  uint64_t tie_key(size_t what, size_t choice) const {
    return derive_seed(seed_, RandomPurpose::kSplit, kTieKeys + choice, what);
  }

  const StratifyInput& input_;
  uint64_t seed_;
  std::vector<int32_t> fold_of_;
  std::vector<int64_t> left_;                                      // (K) samples not dealt out
  std::vector<std::vector<std::pair<int64_t, size_t>>> units_of_;  // (K) {positives, unit}
  std::vector<uint64_t> unit_keys_;
  std::vector<double> wanted_;                  // (F) samples
  std::vector<std::vector<double>> wanted_of_;  // (F, K)
};

std::vector<int32_t> random_split(const StratifyInput& input, int64_t num_val, uint64_t seed,
                                  uint64_t number) {
  std::vector<size_t> order(input.sizes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  Rng rng(seed, RandomPurpose::kSplit, number);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  std::vector<int32_t> fold_of(order.size(), 1);
  int64_t taken = 0;
  for (size_t unit : order) {
    if (taken >= num_val) break;
    if (taken > 0 && taken + input.sizes[unit] > num_val) continue;
    fold_of[unit] = 0;
    taken += input.sizes[unit];
  }
  return fold_of;
}

double spread_of(const StratifyInput& input, const std::vector<int32_t>& fold_of,
                 const std::vector<int64_t>& totals, int64_t num_samples) {
  std::vector<int64_t> inside(totals.size(), 0);
  int64_t num_inside = 0;
  for (size_t unit = 0; unit < fold_of.size(); ++unit) {
    if (fold_of[unit] != 0) continue;
    num_inside += input.sizes[unit];
    for (const auto& [label, count] : input.positives[unit]) {
      inside[static_cast<size_t>(label)] += count;
    }
  }
  return ratio_spread(inside, num_inside, totals, num_samples);
}

double share(int64_t count, int64_t size) {
  return size == 0 ? 0.0 : static_cast<double>(count) / static_cast<double>(size);
}

}  // namespace

int64_t StratifyInput::num_samples() const {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
}

std::vector<int64_t> StratifyInput::class_totals() const {
  std::vector<int64_t> totals(static_cast<size_t>(num_classes), 0);
  for (const auto& unit : positives) {
    for (const auto& [label, count] : unit) totals[static_cast<size_t>(label)] += count;
  }
  return totals;
}

std::vector<int32_t> iterative_stratification(const StratifyInput& input,
                                              const std::vector<double>& ratios, uint64_t seed) {
  return Stratifier(input, ratios, seed).run();
}

std::vector<int32_t> best_random_split(const StratifyInput& input, double val_fraction,
                                       int64_t num_tries, uint64_t seed) {
  const int64_t num_samples = input.num_samples();
  const auto num_val =
      static_cast<int64_t>(std::llround(val_fraction * static_cast<double>(num_samples)));
  const auto totals = input.class_totals();
  std::vector<double> spreads(static_cast<size_t>(num_tries));
  parallel_for(num_tries, available_cores(), [&](int64_t i) {
    const auto fold_of = random_split(input, num_val, seed, static_cast<uint64_t>(i));
    spreads[static_cast<size_t>(i)] = spread_of(input, fold_of, totals, num_samples);
  });
  const auto best = std::min_element(spreads.begin(), spreads.end()) - spreads.begin();
  return random_split(input, num_val, seed, static_cast<uint64_t>(best));
}

double ratio_spread(const std::vector<int64_t>& inside, int64_t num_inside,
                    const std::vector<int64_t>& totals, int64_t num_samples) {
  const int64_t num_outside = num_samples - num_inside;
  if (num_inside == 0 || num_outside == 0 || totals.empty()) {
    return std::numeric_limits<double>::infinity();
  }
  std::vector<double> differences;
  for (size_t k = 0; k < totals.size(); ++k) {
    const auto in = static_cast<double>(inside[k]) / static_cast<double>(num_inside);
    const auto out = static_cast<double>(totals[k] - inside[k]) / static_cast<double>(num_outside);
    differences.push_back(100.0 * (out - in));
  }
  const auto n = static_cast<double>(differences.size());
  const double mean = std::accumulate(differences.begin(), differences.end(), 0.0) / n;
  double sum = 0;
  for (double difference : differences) sum += (difference - mean) * (difference - mean);
  return std::sqrt(sum / n);
}

double label_distribution(const std::vector<std::vector<int64_t>>& counts,
                          const std::vector<int64_t>& fold_sizes,
                          const std::vector<int64_t>& totals, int64_t num_samples) {
  double sum = 0;
  for (size_t fold = 0; fold < counts.size(); ++fold) {
    for (size_t k = 0; k < totals.size(); ++k) {
      sum += std::abs(share(counts[fold][k], fold_sizes[fold]) - share(totals[k], num_samples));
    }
  }
  const size_t n = counts.size() * totals.size();
  return n == 0 ? 0.0 : sum / static_cast<double>(n);
}

}  // namespace podium::data_shards
