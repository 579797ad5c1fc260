// A keyed permutation of [0, n) with O(1) memory: a Feistel network with cycle walking.
#pragma once

#include <cstdint>

namespace podium {

// Position -> element of a pseudo-random permutation of [0, n), computed on demand.
// Complexity: O(1) time (a few Philox blocks) and memory. Random: kEpochOrder, keyed by (seed,
// epoch).
class KeyedPermutation {
 public:
  KeyedPermutation(uint64_t n, uint64_t seed, uint64_t epoch);
  uint64_t size() const { return n_; }
  // Requires: position < size().
  uint64_t operator[](uint64_t position) const;

 private:
  uint64_t n_;
  uint64_t key_;  // from seed and epoch
  unsigned half_bits_;
};

}  // namespace podium
