// More of what is rare: how often each training sample comes in an epoch. Read next: sampler.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data_shards/format/dataset.h"
#include "data_shards/plan/sample_list.h"

namespace podium::data_shards {

enum class SampleBalance {
  kNone,           // every sample `repeats` times
  kRepeatFactor,   // by the rarity of its rarest label
  kClassBalanced,  // so that every class comes as often as the most frequent one
};

struct RepeatOptions {
  SampleBalance balance = SampleBalance::kNone;
  int64_t repeats = 1;         // of everything, at least 1
  double threshold = 0.1;      // kRepeatFactor: share of samples below which a label is rare, 0..1
  double largest_factor = 10;  // of a single sample, before `repeats`
};

// "none", "repeat_factor", "class_balanced".
std::vector<std::string> balance_names();
SampleBalance parse_balance(const std::string& name);

// `indices` with each position as often as it is to come in an epoch, in the order of `indices`.
// The factor of a label with share f among `indices`: sqrt(threshold / f), at least 1
// (kRepeatFactor); count of the most frequent label / count (kClassBalanced). A sample has the
// largest factor of its labels: positives (an unknown label is none), its class, or the classes in
// its mask. A fractional factor is rounded up with the probability of its fraction. Source: Gupta,
// Dollar, Girshick, "LVIS", CVPR 2019, section 3.4 (repeat factor sampling). Differs: the rounding
// is drawn once for the run, not per epoch, so that all epochs are equally long. Random: a hash of
// (seed, key).
SampleList repeat_indices(const Dataset& dataset, const SampleList& indices,
                          const RepeatOptions& options, uint64_t seed);

}  // namespace podium::data_shards
