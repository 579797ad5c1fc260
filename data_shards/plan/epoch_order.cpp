// From a position to its window, to the block in it, to the sample.
#include "data_shards/plan/epoch_order.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/permutation.h"
#include "base/rng.h"
#include "base/text.h"

namespace podium::data_shards {

std::vector<std::string> order_names() { return {"permutation", "blocks"}; }

SampleOrder parse_order(const std::string& name) {
  const auto names = order_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) {
    throw RecipeError(fmt::format("unknown order \"{}\"{}; expected {}", name,
                                  did_you_mean(name, names), join(names, ", ")));
  }
  return static_cast<SampleOrder>(found - names.begin());
}

EpochOrder::EpochOrder(int64_t n, const OrderOptions& options, uint64_t seed, int64_t epoch)
    : n_(n), options_(options), seed_(seed), epoch_(epoch) {
  if (options.order == SampleOrder::kPermutation) return;
  if (options.block_samples < 1 || options.window_blocks < 1) {
    throw RecipeError(fmt::format("blocks of {} samples, {} mixed; both must be at least 1",
                                  options.block_samples, options.window_blocks));
  }
  const auto number = static_cast<uint64_t>(epoch);
  key_ = derive_seed(seed, RandomPurpose::kEpochOrder, number, 1);
  shift_ = static_cast<int64_t>(derive_seed(seed, RandomPurpose::kEpochOrder, number, 2) %
                                static_cast<uint64_t>(n));
  full_blocks_ = n / options.block_samples;
  num_windows_ = std::max<int64_t>(1, full_blocks_ / options.window_blocks);
}

int64_t EpochOrder::operator[](int64_t position) const {
  if (options_.order == SampleOrder::kBlocks) return in_blocks(position);
  const KeyedPermutation order(static_cast<uint64_t>(n_), seed_, static_cast<uint64_t>(epoch_));
  return static_cast<int64_t>(order[static_cast<uint64_t>(position)]);
}

int64_t EpochOrder::in_blocks(int64_t position) const {
  const int64_t window_samples = options_.window_blocks * options_.block_samples;
  const int64_t window = std::min(position / window_samples, num_windows_ - 1);
  const int64_t first_block = window * options_.window_blocks;
  const int64_t first = window * window_samples;
  const int64_t last = window + 1 < num_windows_ ? first + window_samples : n_;
  const KeyedPermutation mixed(static_cast<uint64_t>(last - first), key_,
                               static_cast<uint64_t>(window) + 1);
  const auto place = static_cast<int64_t>(mixed[static_cast<uint64_t>(position - first)]);
  int64_t block = first_block + place / options_.block_samples;
  if (block < full_blocks_) {
    const KeyedPermutation blocks(static_cast<uint64_t>(full_blocks_), key_, 0);
    block = static_cast<int64_t>(blocks[static_cast<uint64_t>(block)]);
  }
  return (block * options_.block_samples + place % options_.block_samples + shift_) % n_;
}

}  // namespace podium::data_shards
