// Checkpoints: the resumable state of a run between two optimizer steps. Format:
// docs/formats.md. Read next: checkpoint_writer.h, train_loop.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trainer/step/run_position.h"
#include "trainer/step/run_state.h"

namespace podium::trainer {

// What must be equal for a run to go on where another process left it. The number of workers may
// differ.
struct RunIdentity {
  std::string recipe_digest;
  std::string class_hash;
  std::string data_digest;
  std::string folds_digest;  // XXH3-128 of folds.json; empty without folds
  int64_t fold = -1;         // -1 without folds
};

// Which checkpoints stay when another one has been written.
struct RetentionRule {
  int64_t num_newest = 2;
  std::vector<int64_t> multiples;  // those of a step that is a multiple of one of these, for good
};

// The folder of step 123: "step-000000123".
std::string checkpoint_name(int64_t global_step);

// The state's groups are split into files of at most `part_bytes`, or of one tensor.
struct CheckpointFormat {
  int64_t part_bytes = int64_t{4} << 30;
};

// Writes DIR/step-N aside, fsyncs, renames; then removes what the rule does not keep. The digests
// are those of the bytes that were given to the disk. Call on one rank. Errors: IoError; a failed
// write leaves the earlier checkpoints as they were.
void save_checkpoint(const std::filesystem::path& directory, const RunIdentity& identity,
                     uint64_t seed, const RunPosition& position, const RunState& state,
                     const RetentionRule& rule, const CheckpointFormat& format = {});

struct Checkpoint {
  std::filesystem::path path;
  RunIdentity identity;
  RunPosition position;
  RunState state;  // on the host
};
// Reads each file once and compares its digest. Formats 1 and 2. Errors: DataError / IoError naming
// the file.
Checkpoint load_checkpoint(const std::filesystem::path& checkpoint);

// The newest intact checkpoint of a folder, loaded; a damaged one is named in a warning and the one
// before is tried.
std::optional<Checkpoint> find_checkpoint(const std::filesystem::path& directory);

// XXH3-128 over names, types, shapes and bytes in name order.
std::string digest_of(const TensorMap& tensors);

}  // namespace podium::trainer
