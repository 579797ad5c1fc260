// Writes one shard: tar, index and sample table. Read next: pack.cpp, tar_writer.h.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "base/progress.h"
#include "data_shards/dataset.h"
#include "data_shards/pack_plan.h"

namespace podium::data_shards {

// The samples [first, last) of a plan.
struct ShardRange {
  size_t first = 0;
  size_t last = 0;
};

// Divides the samples in order, so that no shard is larger than max_shard_bytes (unless one sample
// alone is). From file sizes only.
std::vector<ShardRange> divide_into_shards(const PackPlan& plan, int64_t max_shard_bytes);

struct PackedShard {
  ShardInfo info;
  std::vector<SampleRecord> samples;
  std::vector<BadSample> bad_samples;
};

// Reads and checks the files on `num_threads` threads and writes FILE.tar, FILE.idx and
// FILE.samples.jsonl in input order. Errors: DataError / IoError "PLACE: ..." of the first bad
// sample unless skip_bad_samples.
PackedShard write_shard(const PackPlan& plan, const PackOptions& options, ShardRange range,
                        const std::filesystem::path& file, Progress* progress);

// Digest of all that decides a shard's bytes: format, options, paths, sizes, times, labels.
std::string shard_input_digest(const PackPlan& plan, const PackOptions& options, ShardRange range);

}  // namespace podium::data_shards
