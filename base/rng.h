// Counter-based random numbers: Philox 4x32-10. Every random decision of Podium is keyed by what it
// is for, never by thread, rank or arrival order. Read next: base/permutation.h.
#pragma once

#include <array>
#include <cstdint>

namespace podium {

// Philox 4x32 with 10 rounds: a pure function of counter and key.
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11; known answers of
// Random123.
std::array<uint32_t, 4> philox4x32_10(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// What a random stream is for. Two purposes never share a stream. Append only: the number is part
// of a run's identity.
enum class RandomPurpose : uint64_t {
  kEpochOrder = 1,   // a = epoch, b = 0; order by blocks: 1 and 2
  kAugment = 2,      // a = epoch, b = sample hash
  kDropout = 3,      // a = step, b = leaf (logical worker and accumulation index)
  kInit = 4,         // a = hash of the parameter's name
  kSplit = 5,        // a = try
  kImageChoice = 6,  // a = epoch, b = sample hash: which of a sample's images is used
  kDemo = 7,         // a = image number
  kBootstrap = 8,    // a = replicate
  kTest = 9,
  kBatchSize = 10,     // a = epoch, b = step + 1, or 0 for the epoch: image size of a micro-batch
  kErasingNoise = 11,  // seed = a value of the sample's kAugment stream
  kMix = 12,           // a = step, b = leaf: mixup, CutMix, ClassMix
};

// A stream of random numbers keyed by (seed, purpose, a, b). Satisfies UniformRandomBitGenerator
// (64 bit). Threads: one object belongs to one thread; equal keys give equal streams anywhere.
class Rng {
 public:
  using result_type = uint64_t;
  Rng(uint64_t seed, RandomPurpose purpose, uint64_t a = 0, uint64_t b = 0);

  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~uint64_t{0}; }
  result_type operator()() { return next_u64(); }

  uint32_t next_u32();
  uint64_t next_u64();
  // In [0, 1), 53 bits.
  double uniform();
  // In [low, high). Returns low when they are equal.
  double uniform(double low, double high);
  // In [0, n), without bias. Requires: n > 0.
  uint64_t below(uint64_t n);
  // Standard normal (Box-Muller, both values used).
  double normal();
  // True with probability p.
  bool bernoulli(double p);

 private:
  std::array<uint32_t, 4> counter_{};
  std::array<uint32_t, 2> key_{};
  std::array<uint32_t, 4> block_{};
  int used_ = 4;
  double spare_normal_ = 0;
  bool has_spare_normal_ = false;
};

// The 64-bit seed of a foreign generator (libtorch's dropout, say) for a key; equal keys give equal
// seeds.
uint64_t derive_seed(uint64_t seed, RandomPurpose purpose, uint64_t a = 0, uint64_t b = 0);

}  // namespace podium
