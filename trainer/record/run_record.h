// A run as its files tell, for those who repeat or compare it. Read next: rerun_inputs.h,
// rerun_compare.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "trainer/record/manifest.h"

namespace podium::trainer {

struct RunRecord {
  std::filesystem::path file;  // manifest.json
  nlohmann::json manifest;
  std::map<int64_t, EpochRecord> epochs;

  // Errors: DataError, IoError.
  static RunRecord load(const std::filesystem::path& manifest_file);
  bool is_finished() const { return !manifest.at("final").is_null(); }
  bool is_fastest() const;                   // any of its processes reduced by plain all-reduce
  bool is_worker_invariant() const;          // false: its bits depend on the number of workers
  std::vector<int64_t> world_sizes() const;  // over time, without repetitions
};

}  // namespace podium::trainer
