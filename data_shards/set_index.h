// samples.bin: all sample tables of a set in one binary file, so that a set of many shards opens
// fast. Format: docs/formats.md. Read next: dataset.cpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data_shards/dataset.h"

namespace podium::data_shards {

inline constexpr const char* kSetIndexFile = "samples.bin";

// Little-endian bytes of the shards' descriptions and of all samples, in order.
std::string set_index_bytes(const std::vector<ShardInfo>& shards,
                            const std::vector<SampleRecord>& samples);

struct SetIndex {
  std::vector<ShardInfo> shards;
  std::vector<SampleRecord> samples;
};

// Errors: DataError "FILE: ..." for another magic, a cut file, or numbers that do not fit it.
SetIndex parse_set_index(std::string_view bytes, const std::string& file);

}  // namespace podium::data_shards
