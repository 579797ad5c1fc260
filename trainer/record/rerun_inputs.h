// The repetition of a run: what must be equal before it begins. Starting workers is
// launcher/commands/rerun_command.cpp. Read next: rerun_compare.h.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/record/run_record.h"

namespace podium::trainer {

// What differs between the surroundings of two runs.
struct Difference {
  std::string what;  // "vector instructions"
  std::string recorded, here;
  bool is_class = false;  // numerics, libraries that compute or hardware class: bits may differ
};
// The difference of what podium itself computes (base/version.h, kNumerics).
inline constexpr const char* kNumericsName = "numerics";
// A manifest that describes this process, as far as find_differences reads it.
nlohmann::json describe_here(torch::Device device, int64_t world_size);
// In the order of the table that a person reads; `with_environment` also compares the variables
// that choose kernels. A run whose own processes saw different classes of hardware differs by that.
std::vector<Difference> find_differences(const nlohmann::json& recorded, const nlohmann::json& here,
                                         bool with_environment);

// Where a repetition takes its inputs from.
struct RerunInputs {
  std::filesystem::path data;
  std::filesystem::path folds;  // empty without folds
  std::string weights;          // override of model.weights; empty: as in the recipe
};
// Finds data, folds and initial weights and compares every byte with the manifest; `data`: another
// place of the data, or empty. Folds are taken from the copy beside the manifest where there is
// one. Errors: DataError naming the shard or file with both digests; IoError.
RerunInputs check_inputs(const RunRecord& record, const std::filesystem::path& data);

}  // namespace podium::trainer
