// Philox 4x32-10 and the streams built on it.
//
// A stream's identity is the XXH3-128 of the 32 little-endian bytes (seed, purpose, a, b): its low
// half is the Philox key, its high half the upper two counter words; the lower two count blocks
// from 0. Equal (seed, purpose, a, b) give equal streams on every machine; a 64-bit output is two
// 32-bit outputs, the low word first.
#include "base/rng.h"

#include <xxhash.h>

#include <cmath>
#include <numbers>

namespace podium {
namespace {

constexpr uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
constexpr int kRounds = 10;

using StreamBytes = std::array<unsigned char, 32>;

StreamBytes stream_bytes(uint64_t seed, RandomPurpose purpose, uint64_t a, uint64_t b) {
  const std::array<uint64_t, 4> words = {seed, static_cast<uint64_t>(purpose), a, b};
  StreamBytes bytes;
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<unsigned char>(words[i / 8] >> (8 * (i % 8)));
  }
  return bytes;
}

uint32_t low_word(uint64_t value) { return static_cast<uint32_t>(value); }
uint32_t high_word(uint64_t value) { return static_cast<uint32_t>(value >> 32); }

}  // namespace

std::array<uint32_t, 4> philox4x32_10(std::array<uint32_t, 4> counter,
                                      std::array<uint32_t, 2> key) {
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t product0 = uint64_t{kMultiplier0} * counter[0];
    const uint64_t product1 = uint64_t{kMultiplier1} * counter[2];
    counter = {high_word(product1) ^ counter[1] ^ key[0], low_word(product1),
               high_word(product0) ^ counter[3] ^ key[1], low_word(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

Rng::Rng(uint64_t seed, RandomPurpose purpose, uint64_t a, uint64_t b) {
  const StreamBytes bytes = stream_bytes(seed, purpose, a, b);
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  key_ = {low_word(hash.low64), high_word(hash.low64)};
  counter_ = {0, 0, low_word(hash.high64), high_word(hash.high64)};
}

uint32_t Rng::next_u32() {
  if (used_ == 4) {
    block_ = philox4x32_10(counter_, key_);
    if (++counter_[0] == 0) ++counter_[1];
    used_ = 0;
  }
  return block_[static_cast<size_t>(used_++)];
}

uint64_t Rng::next_u64() {
  const uint64_t low = next_u32();
  return low | (uint64_t{next_u32()} << 32);
}

double Rng::uniform() { return static_cast<double>(next_u64() >> 11) * 0x1.0p-53; }

double Rng::uniform(double low, double high) {
  const double value = low + (high - low) * uniform();
  // The sum may round up to `high`, which the range excludes.
  return value >= high && high > low ? std::nextafter(high, low) : value;
}

uint64_t Rng::below(uint64_t n) {
  // Of the 2^64 values the first 2^64 mod n are refused, so that each rest is equally likely.
  const uint64_t refused = (uint64_t{0} - n) % n;
  uint64_t value = next_u64();
  while (value < refused) value = next_u64();
  return value % n;
}

double Rng::normal() {
  if (has_spare_normal_) {
    has_spare_normal_ = false;
    return spare_normal_;
  }
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  const double angle = 2 * std::numbers::pi * uniform();
  spare_normal_ = radius * std::sin(angle);
  has_spare_normal_ = true;
  return radius * std::cos(angle);
}

bool Rng::bernoulli(double p) { return uniform() < p; }

uint64_t derive_seed(uint64_t seed, RandomPurpose purpose, uint64_t a, uint64_t b) {
  const StreamBytes bytes = stream_bytes(seed, purpose, a, b);
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace podium
