// rerun.json and the table that a person reads.
#include "trainer/record/rerun_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "base/text.h"
#include "trainer/record/run_directory.h"

namespace podium::trainer {
using Json = nlohmann::json;

namespace {

constexpr size_t kShownDigits = 12;
constexpr size_t kShownText = 40;

std::string shown(const std::string& text) {
  return text.size() <= kShownText ? text : fmt::format("{}...", text.substr(0, kShownText - 3));
}

std::string sizes_text(const RunRecord& record) {
  std::vector<std::string> parts;
  for (const int64_t size : record.world_sizes()) parts.push_back(std::to_string(size));
  return join(parts, ", then ");
}

std::string differences_text(const RerunOutcome& outcome) {
  if (outcome.differences.empty()) return "build, libraries and machine: as recorded\n";
  std::string text = fmt::format("  {:<20} {:<41} {}\n", "what differs", "recorded", "here");
  for (const Difference& difference : outcome.differences) {
    text += fmt::format("  {:<20} {:<41} {}{}\n", difference.what, shown(difference.recorded),
                        shown(difference.here), difference.is_class ? "  *" : "");
  }
  return text;
}

std::string epochs_text(const RerunOutcome& outcome, const RunRecord& recorded,
                        const RunRecord& here) {
  std::string text = fmt::format("\n  {:>5}  {:<14} {:<14}\n", "epoch", "state then", "state here");
  for (const int64_t epoch : outcome.epochs_compared) {
    const EpochRecord& then = recorded.epochs.at(epoch);
    const EpochRecord& now = here.epochs.at(epoch);
    text += fmt::format(
        "  {:>5}  {:<14} {:<14} {}\n", epoch, then.state_digest.substr(0, kShownDigits),
        now.state_digest.substr(0, kShownDigits), compare_epoch(then, now) ? "DIFFERENT" : "equal");
  }
  return text;
}

std::string metrics_text(const RerunOutcome& outcome) {
  std::string text = fmt::format("\n  {:<28} {:>12} {:>12} {:>18}\n", "metric", "then", "here",
                                 outcome.promise == Promise::kBits ? "" : "allowed");
  for (const MetricComparison& metric : outcome.metrics) {
    const std::string allowed =
        metric.tolerance ? fmt::format("{:.4g} +- {:.2g}", *metric.expected, *metric.tolerance)
                         : "";
    const std::string word = metric.is_held                      ? "held"
                             : metric.tolerance                  ? "OUTSIDE"
                             : outcome.promise == Promise::kBits ? "DIFFERENT"
                                                                 : "not judged";
    text += fmt::format("  {:<28} {:>12.6g} {:>12.6g} {:>18}  {}\n", metric.name, metric.recorded,
                        metric.here, allowed, word);
  }
  return text;
}

Json number_or_null(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json divergence_json(const std::optional<Divergence>& divergence) {
  if (!divergence) return nullptr;
  return {{"epoch", divergence->epoch},
          {"tensor", divergence->tensor},
          {"recorded", divergence->recorded},
          {"here", divergence->here},
          {"num_different", divergence->num_different},
          {"num_tensors", divergence->num_tensors}};
}

}  // namespace

std::string verdict_name(RerunVerdict verdict) {
  switch (verdict) {
    case RerunVerdict::kEqual:
      return "equal";
    case RerunVerdict::kWithinSpread:
      return "within_spread";
    case RerunVerdict::kDiverged:
      return "diverged";
    case RerunVerdict::kOutsideSpread:
      return "outside_spread";
    case RerunVerdict::kNotJudged:
      return "not_judged";
  }
  return "";
}

Json to_json(const RerunOutcome& outcome, const RunRecord& recorded, const RunRecord& here) {
  Json differences = Json::array(), epochs = Json::array(), metrics = Json::array();
  for (const Difference& difference : outcome.differences) {
    differences.push_back({{"what", difference.what},
                           {"recorded", difference.recorded},
                           {"here", difference.here},
                           {"is_class", difference.is_class}});
  }
  for (const int64_t epoch : outcome.epochs_compared) {
    const EpochRecord& then = recorded.epochs.at(epoch);
    const EpochRecord& now = here.epochs.at(epoch);
    epochs.push_back({{"epoch", epoch},
                      {"recorded", then.state_digest},
                      {"here", now.state_digest},
                      {"is_equal", !compare_epoch(then, now).has_value()}});
  }
  for (const MetricComparison& metric : outcome.metrics) {
    metrics.push_back({{"name", metric.name},
                       {"recorded", metric.recorded},
                       {"here", metric.here},
                       {"expected", number_or_null(metric.expected)},
                       {"tolerance", number_or_null(metric.tolerance)},
                       {"is_held", metric.is_held}});
  }
  return {{"format", "podium-rerun"},
          {"version", 1},
          {"time", utc_now()},
          {"manifest",
           {{"file", std::filesystem::absolute(recorded.file).string()},
            {"xxh3_128", xxh3_128_hex_of_file(recorded.file)}}},
          {"run_dir", std::filesystem::absolute(here.file).parent_path().string()},
          {"world_sizes", {{"recorded", recorded.world_sizes()}, {"here", here.world_sizes()}}},
          {"promise", outcome.promise == Promise::kBits ? "bits" : "metrics"},
          {"reasons", outcome.reasons},
          {"differences", differences},
          {"epochs", epochs},
          {"divergence", divergence_json(outcome.divergence)},
          {"is_complete", outcome.is_complete},
          {"are_weights_equal", outcome.are_weights_equal},
          {"are_predictions_equal", outcome.are_predictions_equal},
          {"metrics", metrics},
          {"verdict", verdict_name(outcome.verdict)}};
}

std::string summary_text(const RerunOutcome& outcome, const RunRecord& recorded,
                         const RunRecord& here) {
  std::string text =
      fmt::format("\nrerun of {}; workers: {} then, {} here\n{}", recorded.file.string(),
                  sizes_text(recorded), sizes_text(here), differences_text(outcome));
  text += epochs_text(outcome, recorded, here);
  if (outcome.is_complete) {
    const auto word = [](bool is_equal) { return is_equal ? "equal" : "DIFFERENT"; };
    text += fmt::format("\n  final weights {}, predictions {}\n", word(outcome.are_weights_equal),
                        word(outcome.are_predictions_equal));
    text += metrics_text(outcome);
  }
  if (outcome.promise == Promise::kMetrics) {
    text += "\nbits were not promised:\n";
    for (const std::string& reason : outcome.reasons) text += "  " + reason + "\n";
  }
  return text + fmt::format("\nverdict: {}\n", verdict_name(outcome.verdict));
}

}  // namespace podium::trainer
