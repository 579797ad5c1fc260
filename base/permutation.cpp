// Feistel network over the smallest even number of bits that holds n, with Philox as its round
// function.
#include "base/permutation.h"

#include <algorithm>
#include <bit>

#include "base/rng.h"

namespace podium {
namespace {

constexpr uint32_t kRounds = 8;
// A network of fewer bits than 2 * 3 cannot reach all orders of a tiny set; walking over 64
// positions costs nothing.
constexpr unsigned kMinHalfBits = 3;

}  // namespace

KeyedPermutation::KeyedPermutation(uint64_t n, uint64_t seed, uint64_t epoch)
    : n_(n), key_(derive_seed(seed, RandomPurpose::kEpochOrder, epoch)) {
  const auto bits = static_cast<unsigned>(std::bit_width(n > 0 ? n - 1 : 0));
  half_bits_ = std::max(kMinHalfBits, (bits + 1) / 2);
}

uint64_t KeyedPermutation::operator[](uint64_t position) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  const std::array<uint32_t, 2> key = {static_cast<uint32_t>(key_),
                                       static_cast<uint32_t>(key_ >> 32)};
  uint64_t value = position;
  // Cycle walking: the network permutes a larger set; following it from a member of [0, n) comes
  // back into [0, n).
  do {
    uint64_t left = value >> half_bits_, right = value & mask;
    for (uint32_t round = 0; round < kRounds; ++round) {
      const auto block = philox4x32_10({static_cast<uint32_t>(right), round, 0, 0}, key);
      const uint64_t next = left ^ (block[0] & mask);
      left = right;
      right = next;
    }
    value = (left << half_bits_) | right;
  } while (value >= n_);
  return value;
}

}  // namespace podium
