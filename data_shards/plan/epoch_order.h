// The order of an epoch as a pure function of (seed, epoch, position). Read next: sampler.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace podium::data_shards {

enum class SampleOrder {
  kPermutation,  // any sample may follow any other
  kBlocks,       // samples of a few blocks at a time, for disks that seek slowly
};

struct OrderOptions {
  SampleOrder order = SampleOrder::kPermutation;
  int64_t block_samples = 256;  // kBlocks: consecutive samples, at least 1
  int64_t window_blocks = 16;   // kBlocks: blocks whose samples are mixed, at least 1
};

// "permutation", "blocks".
std::vector<std::string> order_names();
// Errors: RecipeError with the nearest name.
SampleOrder parse_order(const std::string& name);

// kPermutation: a keyed permutation of [0, n).
// kBlocks: the samples, turned round by a drawn number of places so that the borders of blocks
// differ between epochs, are cut into blocks; the blocks come in the order of a keyed permutation
// (one that is not full comes last); each `window_blocks` of them are a window (the last one may
// hold up to twice as many), whose samples come in the order of a keyed permutation of their own.
// Complexity: O(1) time and memory. Random: kEpochOrder, keyed by (seed, epoch).
class EpochOrder {
 public:
  // Requires: n >= 1. Errors: RecipeError for blocks or windows of less than one.
  EpochOrder(int64_t n, const OrderOptions& options, uint64_t seed, int64_t epoch);
  // The element at a position. Requires: position in [0, n).
  int64_t operator[](int64_t position) const;

 private:
  int64_t in_blocks(int64_t position) const;

  int64_t n_;
  OrderOptions options_;
  uint64_t seed_;
  int64_t epoch_;
  // kBlocks only.
  uint64_t key_ = 0;   // of the permutations of blocks and within windows
  int64_t shift_ = 0;  // samples by which the blocks begin later
  int64_t full_blocks_ = 0;
  int64_t num_windows_ = 1;
};

}  // namespace podium::data_shards
