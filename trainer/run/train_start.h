// How a run starts: anew, from a checkpoint, or not at all because it is finished. Read next:
// train.cpp.
#pragma once

#include <memory>
#include <optional>

#include "distributed/communicator.h"
#include "trainer/recipe/train_options.h"
#include "trainer/record/checkpoint.h"
#include "trainer/record/manifest.h"
#include "trainer/record/run_directory.h"
#include "trainer/run/train.h"
#include "trainer/step/run_position.h"

namespace podium::trainer {

struct RunStart {
  bool is_finished = false;              // DONE is there: nothing to do
  std::optional<Checkpoint> checkpoint;  // none: from the beginning
  RunPosition position;                  // of the checkpoint
};

// Decided by rank 0, which also makes the folder, takes the lock and, for a new run, writes
// recipe.yaml and copies folds.json. Collective: all ranks; blocks. Errors: RecipeError naming the
// keys that changed since the run began; DataError when data or folds changed; UsageError when the
// folder is in use, or holds a run and --resume=never; IoError.
RunStart find_start(const RunDirectory& directory, const TrainOptions& options,
                    const ManifestFacts& facts, Communicator& communicator,
                    std::unique_ptr<RunLock>& lock);

// The manifest of the run on disk, or a new one.
std::unique_ptr<Manifest> open_manifest(const RunDirectory& directory, const ManifestFacts& facts);

// What result.json of a finished run says. Errors: IoError, DataError.
TrainResult read_result(const RunDirectory& directory);

}  // namespace podium::trainer
