// Checks of one shard's bytes against its sample table. Read next: verify.h.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/progress.h"
#include "data_shards/format/dataset.h"
#include "data_shards/pack/pack.h"

namespace podium::data_shards {

// Everything wrong with the shard: tar headers, then samples in order; the shard's digest only when
// nothing else explains it. With `stop_at_first` at most one entry. Errors: IoError.
std::vector<BadSample> verify_shard(const Dataset& dataset, int64_t shard, int num_threads,
                                    bool stop_at_first, Progress* progress);

}  // namespace podium::data_shards
