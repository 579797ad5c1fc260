// What came out of a repetition, against what was recorded.
#include "trainer/record/rerun_compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/file.h"

namespace podium::trainer {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

constexpr size_t kMinSeeds = 3;

// Student's t, two-sided 99 %: the 0.995 quantile for 1, 2, 3 ... degrees of freedom (any table of
// the distribution), then that of the normal distribution.
constexpr std::array<double, 30> kStudent995 = {
    63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169,
    3.106,  3.055, 3.012, 2.977, 2.947, 2.921, 2.898, 2.878, 2.861, 2.845,
    2.831,  2.819, 2.807, 2.797, 2.787, 2.779, 2.771, 2.763, 2.756, 2.750};
constexpr double kNormal995 = 2.576;

// Half width of the interval that holds the next draw after n with 99 %: t s sqrt(1 + 1/n).
double prediction_tolerance(double std, int64_t n) {
  const auto degrees = static_cast<size_t>(n - 1);
  const double t = degrees <= kStudent995.size() ? kStudent995[degrees - 1] : kNormal995;
  return t * std * std::sqrt(1.0 + 1.0 / static_cast<double>(n));
}

double value_of(const std::map<std::string, double>& values, const std::string& name) {
  const auto found = values.find(name);
  return found == values.end() ? std::nan("") : found->second;
}

bool is_same(double left, double right) {
  return left == right || (std::isnan(left) && std::isnan(right));
}

std::map<std::string, double> final_metrics(const RunRecord& record) {
  const Json& json = record.manifest.at("final");
  return json.is_null() || !json.contains("metrics") ? std::map<std::string, double>{}
                                                     : metrics_of_json(json.at("metrics"));
}

std::string final_text(const RunRecord& record, const char* name) {
  const Json& json = record.manifest.at("final");
  return json.is_null() ? "" : json.value(name, "");
}

std::vector<MetricComparison> compare_metrics(const RunRecord& recorded, const RunRecord& here,
                                              Promise promise) {
  const auto then = final_metrics(recorded), now = final_metrics(here);
  std::set<std::string> names;
  for (const auto& [name, value] : then) names.insert(name);
  for (const auto& [name, value] : now) names.insert(name);
  const Json spread = recorded.manifest.value("seed_spread", Json(nullptr));
  std::vector<MetricComparison> comparisons;
  for (const std::string& name : names) {
    MetricComparison metric{name, value_of(then, name), value_of(now, name), {}, {}, false};
    if (promise == Promise::kBits) {
      metric.is_held = is_same(metric.recorded, metric.here);
    } else if (!spread.is_null() && spread.at("metrics").contains(name)) {
      const Json& values = spread.at("metrics").at(name);
      metric.expected = values.at("mean").get<double>();
      metric.tolerance = prediction_tolerance(values.at("std"), values.at("num_runs"));
      metric.is_held = std::abs(metric.here - *metric.expected) <= *metric.tolerance;
    }
    comparisons.push_back(metric);
  }
  return comparisons;
}

RerunVerdict judge(const RerunOutcome& outcome) {
  const bool are_metrics_held = std::all_of(outcome.metrics.begin(), outcome.metrics.end(),
                                            [](const auto& metric) { return metric.is_held; });
  const bool are_bits_equal = outcome.is_complete && !outcome.divergence &&
                              outcome.are_weights_equal && outcome.are_predictions_equal;
  if (outcome.promise == Promise::kBits) {
    if (outcome.divergence) return RerunVerdict::kDiverged;
    if (!outcome.is_complete) return RerunVerdict::kNotJudged;
    return are_bits_equal && are_metrics_held ? RerunVerdict::kEqual : RerunVerdict::kDiverged;
  }
  if (are_bits_equal) return RerunVerdict::kEqual;
  std::vector<MetricComparison> judged;
  std::copy_if(outcome.metrics.begin(), outcome.metrics.end(), std::back_inserter(judged),
               [](const auto& metric) { return metric.tolerance.has_value(); });
  if (!outcome.is_complete || judged.empty()) return RerunVerdict::kNotJudged;
  const bool are_all_within =
      std::all_of(judged.begin(), judged.end(), [](const auto& metric) { return metric.is_held; });
  return are_all_within ? RerunVerdict::kWithinSpread : RerunVerdict::kOutsideSpread;
}

// A run of the same experiment with another seed.
void require_only_another_seed(const RunRecord& record, const RunRecord& other) {
  const auto refuse = [&](const std::string& what) {
    throw DataError(fmt::format(
        "{}: {} than in {}; the spread needs finished runs that differ in the seed only",
        other.file.string(), what, record.file.string()));
  };
  if (!other.is_finished()) refuse("less finished");
  for (const char* key : {"data_digest", "class_hash", "folds_digest", "fold"}) {
    if (other.manifest.at("identity").at(key) != record.manifest.at("identity").at(key)) {
      refuse(fmt::format("another {}", key));
    }
  }
  for (const auto& [key, value] : record.manifest.at("recipe").items()) {
    const Json& recipe = other.manifest.at("recipe");
    if (key != "seed" && (!recipe.contains(key) || recipe.at(key) != value)) {
      refuse(fmt::format("another {}", key));
    }
  }
}

}  // namespace

std::string Divergence::text() const {
  const std::string share =
      num_tensors > 0 ? fmt::format(" ({} of {} tensors differ)", num_different, num_tensors) : "";
  const bool is_tensor = tensor.find('/') != std::string::npos;
  return fmt::format("epoch {}: {}{}: recorded {}, here {}{}", epoch, is_tensor ? "tensor " : "",
                     tensor, recorded, here, share);
}

std::optional<Divergence> compare_epoch(const EpochRecord& recorded, const EpochRecord& here) {
  const bool has_tensors = !recorded.tensors.tensors.empty() && !here.tensors.tensors.empty();
  if (has_tensors) {
    if (const auto found = first_difference(recorded.tensors, here.tensors)) {
      return Divergence{recorded.epoch, found->tensor,        found->left,
                        found->right,   found->num_different, found->num_tensors};
    }
  }
  for (const auto& [group, digest] : recorded.group_digests) {
    const auto found = here.group_digests.find(group);
    const std::string now = found == here.group_digests.end() ? "none" : found->second;
    if (now != digest) return Divergence{recorded.epoch, "group " + group, digest, now, 0, 0};
  }
  if (recorded.state_digest != here.state_digest) {
    return Divergence{recorded.epoch, "state", recorded.state_digest, here.state_digest, 0, 0};
  }
  if (recorded.weights_digest != here.weights_digest) {
    return Divergence{recorded.epoch,      "weights", recorded.weights_digest,
                      here.weights_digest, 0,         0};
  }
  return std::nullopt;
}

std::vector<std::string> reasons_against_bits(const RunRecord& recorded,
                                              const std::vector<Difference>& differences) {
  std::vector<std::string> reasons;
  const auto add_class_differences = [&](bool is_of_numerics) {
    for (const Difference& difference : differences) {
      if (!difference.is_class || (difference.what == kNumericsName) != is_of_numerics) continue;
      reasons.push_back(
          fmt::format("{}: {}, here {}", difference.what, difference.recorded, difference.here));
    }
  };
  add_class_differences(true);
  if (recorded.is_fastest()) {
    reasons.emplace_back("it was made with --fastest, whose bits depend on the workers");
  } else if (!recorded.is_worker_invariant()) {
    reasons.emplace_back(
        "it was made with model.batch_norm=sync, whose bits depend on the workers");
  }
  add_class_differences(false);
  return reasons;
}

RerunOutcome compare_runs(const RunRecord& recorded, const RunRecord& here) {
  RerunOutcome outcome;
  outcome.differences = find_differences(recorded.manifest, here.manifest, true);
  outcome.reasons = reasons_against_bits(recorded, outcome.differences);
  outcome.promise = outcome.reasons.empty() ? Promise::kBits : Promise::kMetrics;
  outcome.is_complete = here.is_finished();
  for (const auto& [epoch, record] : recorded.epochs) {
    const auto found = here.epochs.find(epoch);
    if (found != here.epochs.end()) {
      outcome.epochs_compared.push_back(epoch);
      if (!outcome.divergence) outcome.divergence = compare_epoch(record, found->second);
    } else if (outcome.is_complete && !outcome.divergence) {
      outcome.divergence = Divergence{epoch, "state", record.state_digest, "none", 0, 0};
    }
  }
  if (!outcome.is_complete) {
    outcome.verdict = judge(outcome);
    return outcome;
  }
  outcome.are_weights_equal =
      final_text(recorded, "weights_digest") == final_text(here, "weights_digest");
  outcome.are_predictions_equal =
      final_text(recorded, "predictions_digest") == final_text(here, "predictions_digest");
  outcome.metrics = compare_metrics(recorded, here, outcome.promise);
  outcome.verdict = judge(outcome);
  return outcome;
}

void record_seed_spread(RunRecord& record, const std::vector<fs::path>& run_dirs) {
  std::map<std::string, std::vector<double>> values;
  std::set<Json> seeds;
  const auto add = [&](const RunRecord& run) {
    if (!seeds.insert(run.manifest.at("recipe").at("seed")).second) {
      throw DataError(fmt::format("{}: seed {} comes twice; give runs with seeds of their own",
                                  run.file.string(), run.manifest.at("recipe").at("seed").dump()));
    }
    for (const auto& [name, value] : final_metrics(run)) {
      if (std::isfinite(value)) values[name].push_back(value);
    }
  };
  add(record);
  for (const fs::path& directory : run_dirs) {
    const RunRecord run = RunRecord::load(directory / "manifest.json");
    require_only_another_seed(record, run);
    add(run);
  }
  if (seeds.size() < kMinSeeds) {
    throw DataError(fmt::format("{}: {} seeds with --seed_runs; a spread needs at least {}",
                                record.file.string(), seeds.size(), kMinSeeds));
  }
  Json metrics = Json::object();
  for (const auto& [name, list] : values) {
    if (list.size() < kMinSeeds) continue;
    double sum = 0, squares = 0;
    for (const double value : list) sum += value;
    const double mean = sum / static_cast<double>(list.size());
    for (const double value : list) squares += (value - mean) * (value - mean);
    const double std = std::sqrt(squares / static_cast<double>(list.size() - 1));
    metrics[name] = {{"mean", mean}, {"std", std}, {"num_runs", list.size()}};
  }
  record.manifest["seed_spread"] = {{"seeds", seeds}, {"metrics", metrics}};
  write_file_atomic(record.file,
                    record.manifest.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace podium::trainer
