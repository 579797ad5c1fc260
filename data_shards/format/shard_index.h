// The text index beside a shard: the v1.2 format of DALI's wds2idx, byte for byte. Read next:
// dataset_files.h.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data_shards/format/dataset.h"

namespace podium::data_shards {

// "v1.2 <samples>\n", then one line a sample: "<ext> <offset> <size> <name>" for each member, in
// archive order. Differs: nothing from wds2idx of DALI 2.4.0 for the shards that `pack` writes.
std::string shard_index_text(const std::vector<SampleRecord>& samples);

// Path of a shard's index: DALI looks for the shard's path up to its first dot, plus ".idx".
std::filesystem::path shard_index_path(const std::filesystem::path& shard);

// Compares the index of a shard with its sample table.
// Errors: DataError "FILE:LINE: ..." with the first difference.
void check_shard_index(std::string_view text, const std::vector<SampleRecord>& samples,
                       const std::string& file);

}  // namespace podium::data_shards
