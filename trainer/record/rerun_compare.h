// The comparison of a repetition with what was recorded. Read next: rerun_report.h.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/record/rerun_inputs.h"
#include "trainer/record/run_record.h"

namespace podium::trainer {

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
enum class RerunVerdict { kEqual, kWithinSpread, kDiverged, kOutsideSpread, kNotJudged };

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
  RerunVerdict verdict = RerunVerdict::kNotJudged;
};

// Why bits are not promised, other numerics first; empty: they are.
std::vector<std::string> reasons_against_bits(const RunRecord& recorded,
                                              const std::vector<Difference>& differences);
// Compares what there is of `here`, finished or not.
RerunOutcome compare_runs(const RunRecord& recorded, const RunRecord& here);
// Mean and standard deviation of each final metric over finished runs that differ from `record` in
// nothing but the seed (at least three with it), written as `seed_spread` into its manifest.
// Errors: DataError naming the run and what else differs, or a seed that comes twice.
void record_seed_spread(RunRecord& record, const std::vector<std::filesystem::path>& run_dirs);

}  // namespace podium::trainer
