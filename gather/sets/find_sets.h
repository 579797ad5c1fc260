// From paths on the command line to prediction sets. Read next: join.h.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "metrics/prediction_set.h"

namespace podium::gather {

// A loaded prediction set and where it was found.
struct LoadedSet {
  std::filesystem::path directory;
  std::filesystem::path
      run_dir;         // RUN of RUN/predictions/{oof,test}; empty when the set lies elsewhere
  std::string digest;  // as its keys.json has it
  metrics::PredictionSet set;  // of probabilities, whatever the file holds
};

// Loads every set that `paths` name; the activation of logits is applied here. A path is a
// prediction set, a run directory (its predictions/oof or predictions/test by `kind`) or a sweep
// directory (trials/*/run/predictions/{oof,test} of all finished trials; the others are logged).
// Errors: IoError when a path is missing; DataError when it is none of the three, holds no finished
// set, or a set of the other kind; UsageError when a set is given twice. `flag` ("--oof") names the
// origin in messages.
std::vector<LoadedSet> load_sets(const std::vector<std::filesystem::path>& paths,
                                 metrics::PredictionKind kind, const std::string& flag);

}  // namespace podium::gather
