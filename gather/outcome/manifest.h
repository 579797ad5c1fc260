// manifest.json of a gathered folder: what went in, and the digest of each file that came out.
// Format: docs/formats.md.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "gather/outcome/gather_options.h"
#include "gather/sets/join.h"

namespace podium::gather {

// The prediction sets of a gathering by what they were given as.
struct GatherInputs {
  std::vector<InputFacts> oof, baselines, test;
};

// All prediction sets of a table.
std::vector<InputFacts> inputs_of(const std::vector<GroupPredictions>& groups);

// JSON text. `files`: names in `folder`, which holds them. Errors: IoError.
std::string manifest_json(const GatherOptions& options, const GatherInputs& inputs,
                          const std::filesystem::path& folder,
                          const std::vector<std::string>& files);

}  // namespace podium::gather
