// Existing WebDataset tars as a data set: indexed in place, not rewritten. Read next: pack_shard.h,
// tar_reader.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data_shards/pack/pack_plan.h"
#include "data_shards/pack/pack_shard.h"
#include "data_shards/pack/pack_work.h"

namespace podium::data_shards {

// Checks and indexes every tar of options.input (a folder, sorted by name, or one file). Each
// becomes a shard: a link to the tar, an index and a sample table. Samples are grouped as
// webdataset does: consecutive members with the same name up to the first dot of the last part.
// Fills in `plan` what the labels tell: task, classes, has_labels. Errors: DataError "TAR: ..." for
// a damaged archive, a sample with a member twice, a key that comes twice, samples with labels
// beside samples without.
std::vector<PackedShard> index_tars(const PackOptions& options, PackWork* work, PackPlan* plan);

// False for members that webdataset passes over: no dot in the last part of the name, a dot at its
// start, "__meta__/...".
bool names_a_sample(std::string_view name);

// Reads the class index of a "cls" member or the "labels" (a list, or one number) of a "json"
// member. False when the member holds no label. Errors: DataError for a label that is none.
bool read_label_member(const std::string& extension, std::string_view bytes, SampleRecord* sample);

}  // namespace podium::data_shards
