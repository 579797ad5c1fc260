// Writes one shard: tar, index and sample table. Read next: pack.cpp, tar_writer.h.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "data_shards/format/dataset.h"
#include "data_shards/pack/pack_plan.h"
#include "data_shards/pack/pack_prepare.h"

namespace podium::data_shards {

// The samples [first, last) of a plan.
struct ShardRange {
  size_t first = 0;
  size_t last = 0;
};

// A shard that lies on the disk. Its samples are in its table; they are not held.
struct PackedShard {
  ShardRange range;
  ShardInfo info;
  std::vector<BadSample> bad_samples;
};

// Takes samples from the stream until the next one would bring the archive over max_shard_bytes
// (one sample is always taken), and writes FILE.tar, FILE.idx and FILE.samples.jsonl. Errors: those
// of the stream; IoError.
PackedShard write_shard(const PackOptions& options, const std::filesystem::path& file,
                        PreparedStream* stream);

// Writes the index and the sample table of a shard, and fills in what of shard->info tells of them.
void write_tables(const std::filesystem::path& file, const std::vector<SampleRecord>& samples,
                  PackedShard* shard);
// The table again. Errors: IoError, DataError.
std::vector<SampleRecord> read_table(const std::filesystem::path& file);

// Digest of all that decides a shard's bytes: format, options, paths, sizes, times, labels.
std::string shard_input_digest(const PackPlan& plan, const PackOptions& options, ShardRange range);

}  // namespace podium::data_shards
