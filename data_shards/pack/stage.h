// A packed set copied to a node's own disk, once for all workers of the node. Read next: dataset.h.
#pragma once

#include <filesystem>

namespace podium::data_shards {

// Copies the set `data` below `folder` and returns the copy, a packed set like the first. Workers
// on one node share the work: each shard is copied by whoever locks it first. A copy appears under
// its name only when its digest holds, so that an interrupted one is made again; a finished set is
// taken as it is. The copy's name holds the set's digest: another set never meets it. Collective:
// no; may be called by any number of processes and threads at once, and blocks until the set is
// whole. Errors: IoError (also when the disk is too small); DataError for a shard whose bytes are
// not those of dataset.json.
std::filesystem::path stage_dataset(const std::filesystem::path& data,
                                    const std::filesystem::path& folder);

}  // namespace podium::data_shards
