// Finding prediction sets by the layout of runs and sweeps.
#include "gather/sets/find_sets.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "metrics/activation.h"

namespace podium::gather {
namespace fs = std::filesystem;
using metrics::PredictionKind;
namespace {

const char* folder_of(PredictionKind kind) {
  return kind == PredictionKind::kOutOfFold ? "oof" : "test";
}

bool looks_like_set(const fs::path& path) {
  return fs::exists(path / "keys.json") || fs::exists(path / "predictions.safetensors");
}

std::vector<fs::path> finished_trials(const fs::path& sweep, PredictionKind kind,
                                      const std::string& flag) {
  std::vector<fs::path> found;
  std::vector<std::string> unfinished;
  for (const auto& trial : fs::directory_iterator(sweep / "trials")) {
    const fs::path set = trial.path() / "run" / "predictions" / folder_of(kind);
    if (is_done(set)) {
      found.push_back(set);
    } else if (trial.is_directory()) {
      unfinished.push_back(trial.path().filename().string());
    }
  }
  std::sort(found.begin(), found.end());
  std::sort(unfinished.begin(), unfinished.end());
  if (found.empty()) {
    throw DataError(fmt::format(
        "{} {}: none of its {} trials has finished predictions/{}; let the sweep finish", flag,
        sweep.string(), unfinished.size(), folder_of(kind)));
  }
  if (!unfinished.empty()) {
    log_warning("{} {}: {} trials have no finished predictions/{} and are left out: {}", flag,
                sweep.string(), unfinished.size(), folder_of(kind), fmt::join(unfinished, ", "));
  }
  return found;
}

std::vector<fs::path> sets_under(const fs::path& path, PredictionKind kind,
                                 const std::string& flag) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) {
    throw IoError(
        fmt::format("{} {}: no such directory; expected a prediction set, a run or a sweep", flag,
                    path.string()));
  }
  if (looks_like_set(path)) {
    return {path};
  }
  if (fs::is_directory(path / "predictions", ignored)) {
    const fs::path set = path / "predictions" / folder_of(kind);
    if (!fs::is_directory(set, ignored)) {
      throw DataError(fmt::format("{} {}: the run has no predictions/{}; run `podium {}` first",
                                  flag, path.string(), folder_of(kind),
                                  kind == PredictionKind::kOutOfFold ? "train" : "predict"));
    }
    return {set};
  }
  if (fs::is_directory(path / "trials", ignored)) {
    return finished_trials(path, kind, flag);
  }
  throw DataError(fmt::format(
      "{} {}: neither a prediction set (keys.json), a run (predictions/) nor a sweep (trials/)",
      flag, path.string()));
}

}  // namespace

std::vector<LoadedSet> load_sets(const std::vector<fs::path>& paths, PredictionKind kind,
                                 const std::string& flag) {
  std::vector<LoadedSet> sets;
  std::set<fs::path> seen;
  for (const fs::path& path : paths) {
    for (const fs::path& directory : sets_under(path, kind, flag)) {
      const fs::path canonical = fs::weakly_canonical(directory);
      if (!seen.insert(canonical).second) {
        throw UsageError(fmt::format("{}: {} is given twice", flag, directory.string()));
      }
      metrics::PredictionSet set = metrics::PredictionSet::load(directory);
      LoadedSet loaded{directory, {}, set.digest(), metrics::with_probabilities(std::move(set))};
      if (loaded.set.kind != kind) {
        throw DataError(fmt::format("{} {}: holds {} predictions, expected {}", flag,
                                    directory.string(), metrics::kind_name(loaded.set.kind),
                                    metrics::kind_name(kind)));
      }
      if (canonical.parent_path().filename() == "predictions") {
        loaded.run_dir = canonical.parent_path().parent_path();
      }
      log_info("{} {}: {} samples, {} classes, group \"{}\", fold {}", flag, directory.string(),
               loaded.set.num_samples(), loaded.set.num_classes(), loaded.set.model_group,
               loaded.set.fold);
      sets.push_back(std::move(loaded));
    }
  }
  return sets;
}

}  // namespace podium::gather
