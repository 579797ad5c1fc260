// The repetition of a run: what must be equal before it begins, and the comparison of what comes
// out. Starting workers is launcher/commands/rerun_command.cpp. Format of rerun.json: docs/formats.md. Read
// next: rerun_inputs.cpp, rerun_compare.cpp.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/record/manifest.h"

namespace podium::trainer {

// A run as its files tell.
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

// What differs between the surroundings of two runs.
struct Difference {
  std::string what;  // "vector instructions"
  std::string recorded, here;
  bool is_class = false;  // of the hardware class or the libraries that compute: bits may differ
};
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

// The first thing in which two runs differ after an epoch.
struct Divergence {
  int64_t epoch = 0;
  std::string tensor;  // "weights/fc.bias"; "group optimizer", "state" or "weights" where the
                       // tensors' digests are not known
  std::string recorded, here;
  int64_t num_different = 0, num_tensors = 0;  // 0: not known
  std::string text() const;  // "epoch 2: tensor weights/fc.bias: recorded 1f.., here 2a.. (...)"
};
std::optional<Divergence> compare_epoch(const EpochRecord& recorded, const EpochRecord& here);

struct MetricComparison {
  std::string name;
  double recorded = 0, here = 0;    // NaN: undefined, or missing
  std::optional<double> expected;   // mean over seeds; none: equality is expected, or nothing
  std::optional<double> tolerance;  // largest distance from `expected`
  bool is_held = false;
};

enum class Promise {
  kBits,     // same data, recipe, libraries and hardware class
  kMetrics,  // within the spread over seeds, where it is recorded
};
enum class Verdict { kEqual, kWithinSpread, kDiverged, kOutsideSpread, kNotJudged };

// All that is said about a repetition.
struct RerunOutcome {
  Promise promise = Promise::kBits;
  std::vector<std::string> reasons;  // why bits are not promised
  std::vector<Difference> differences;
  std::vector<int64_t> epochs_compared;
  std::optional<Divergence> divergence;  // the first
  bool is_complete = false;              // the repetition came to its end
  bool are_weights_equal = false, are_predictions_equal = false;
  std::vector<MetricComparison> metrics;
  Verdict verdict = Verdict::kNotJudged;
};

// Why bits are not promised; empty: they are.
std::vector<std::string> reasons_against_bits(const RunRecord& recorded,
                                              const std::vector<Difference>& differences);
// Compares what there is of `here`, finished or not.
RerunOutcome compare_runs(const RunRecord& recorded, const RunRecord& here);
nlohmann::json to_json(const RerunOutcome& outcome, const RunRecord& recorded,
                       const RunRecord& here);
// A table for people.
std::string summary_text(const RerunOutcome& outcome, const RunRecord& recorded,
                         const RunRecord& here);
std::string verdict_name(Verdict verdict);

// Mean and standard deviation of each final metric over finished runs that differ from `record` in
// nothing but the seed (at least three with it), written as `seed_spread` into its manifest.
// Errors: DataError naming the run and what else differs, or a seed that comes twice.
void record_seed_spread(RunRecord& record, const std::vector<std::filesystem::path>& run_dirs);

}  // namespace podium::trainer
