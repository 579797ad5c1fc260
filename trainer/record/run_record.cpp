// Reading of manifest.json and digests.jsonl.
#include "trainer/record/run_record.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace podium::trainer {
namespace fs = std::filesystem;
using Json = nlohmann::json;

RunRecord RunRecord::load(const fs::path& manifest_file) {
  RunRecord record;
  record.file = manifest_file;
  record.manifest = read_manifest(manifest_file);
  for (const char* key : {"starts", "final", "identity", "recipe", "recipe_yaml", "data"}) {
    if (!record.manifest.contains(key)) {
      throw DataError(fmt::format("{}: no \"{}\"; give the manifest.json that a run has written",
                                  manifest_file.string(), key));
    }
  }
  for (const Json& start : record.manifest.at("starts")) {
    if (start.contains("machines")) continue;
    throw DataError(
        fmt::format("{}: a start without \"machines\"; it was written by an older podium "
                    "and cannot be rerun",
                    manifest_file.string()));
  }
  record.epochs = read_epochs(manifest_file);
  return record;
}

bool RunRecord::is_fastest() const {
  const Json& starts = manifest.at("starts");
  return std::any_of(starts.begin(), starts.end(),
                     [](const Json& start) { return start.at("reduction") != "tree"; });
}

bool RunRecord::is_worker_invariant() const {
  if (is_fastest()) return false;
  const Json& starts = manifest.at("starts");
  return std::all_of(starts.begin(), starts.end(),
                     [](const Json& start) { return start.value("is_worker_invariant", true); });
}

std::vector<int64_t> RunRecord::world_sizes() const {
  std::vector<int64_t> sizes;
  for (const Json& start : manifest.at("starts")) {
    const int64_t size = start.at("world_size");
    if (sizes.empty() || sizes.back() != size) sizes.push_back(size);
  }
  return sizes;
}

}  // namespace podium::trainer
