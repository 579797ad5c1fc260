// Groups by their metric, as text and as JSON.
#include "sweeps/trials/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/text.h"
#include "metrics/metric_table.h"

namespace podium::sweeps {
namespace {

// The first of the catalogue that a trial has.
std::string choose_metric(const std::vector<TrialOutcome>& outcomes) {
  for (const std::string& key : metrics::metric_keys()) {
    for (const TrialOutcome& outcome : outcomes) {
      if (outcome.metrics.contains(key)) return key;
    }
  }
  return "";
}

void measure(GroupOutcome& group, const std::string& metric) {
  std::vector<double> values;
  for (const TrialOutcome& outcome : group.trials) {
    const auto found = outcome.metrics.find(metric);
    if (outcome.state == TrialState::kDone && found != outcome.metrics.end()) {
      values.push_back(found->second);
    }
  }
  if (values.empty()) return;
  double sum = 0;
  for (const double value : values) sum += value;
  const double mean = sum / static_cast<double>(values.size());
  group.mean = mean;
  if (values.size() < 2) return;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  group.std = std::sqrt(squares / static_cast<double>(values.size() - 1));
}

nlohmann::json json_of(const std::optional<double>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

nlohmann::json json_of(const TrialOutcome& outcome) {
  nlohmann::json json = {
      {"name", outcome.trial.name},         {"fold", outcome.trial.fold},
      {"digest", outcome.trial.digest},     {"directory", outcome.trial.directory.string()},
      {"state", state_name(outcome.state)}, {"metrics", outcome.metrics}};
  if (outcome.failure) {
    json["failure"] = {{"code", outcome.failure->code},
                       {"step", outcome.failure->step},
                       {"message", outcome.failure->message}};
  }
  return json;
}

}  // namespace

bool is_higher_better(const std::string& metric) {
  const metrics::MetricRow* row = metrics::find_metric_of_key(metric);
  return row == nullptr || row->is_higher_better;
}

Summary summarize(const std::vector<TrialOutcome>& outcomes, const std::string& metric) {
  Summary summary;
  summary.metric = metric.empty() ? choose_metric(outcomes) : metric;
  for (const TrialOutcome& outcome : outcomes) {
    auto group = std::find_if(summary.groups.begin(), summary.groups.end(),
                              [&](const auto& one) { return one.group == outcome.trial.group; });
    if (group == summary.groups.end()) {
      summary.groups.push_back({outcome.trial.group, {}, {}, {}});
      group = summary.groups.end() - 1;
    }
    group->trials.push_back(outcome);
  }
  for (GroupOutcome& group : summary.groups) measure(group, summary.metric);
  const double sign = is_higher_better(summary.metric) ? 1 : -1;
  std::stable_sort(summary.groups.begin(), summary.groups.end(),
                   [sign](const GroupOutcome& a, const GroupOutcome& b) {
                     if (!a.mean || !b.mean) return a.mean.has_value() && !b.mean.has_value();
                     return sign * *a.mean > sign * *b.mean;
                   });
  return summary;
}

std::string summary_text(const Summary& summary) {
  size_t width = 5;
  for (const GroupOutcome& group : summary.groups) width = std::max(width, group.group.size());
  std::string text = fmt::format("{:<{}}  {:>10}  {:>8}  folds\n", "group", width,
                                 summary.metric.empty() ? "-" : summary.metric, "std");
  for (const GroupOutcome& group : summary.groups) {
    std::vector<std::string> folds;
    for (const TrialOutcome& outcome : group.trials) {
      const auto value = outcome.metrics.find(summary.metric);
      const bool has_value = outcome.state == TrialState::kDone && value != outcome.metrics.end();
      folds.push_back(has_value ? fmt::format("{:.5f}", value->second) : state_name(outcome.state));
    }
    text += fmt::format("{:<{}}  {:>10}  {:>8}  {}\n", group.group, width,
                        group.mean ? fmt::format("{:.5f}", *group.mean) : "-",
                        group.std ? fmt::format("{:.5f}", *group.std) : "-", join(folds, " "));
  }
  for (const GroupOutcome& group : summary.groups) {
    for (const TrialOutcome& outcome : group.trials) {
      if (!outcome.failure || outcome.state != TrialState::kFailed) continue;
      text += fmt::format("failed: {} ({}, exit code {}): {}\n", outcome.trial.name,
                          outcome.failure->step, outcome.failure->code, outcome.failure->message);
    }
  }
  return text;
}

void save_summary(const Summary& summary, const std::filesystem::path& file) {
  nlohmann::json groups = nlohmann::json::array();
  for (const GroupOutcome& group : summary.groups) {
    nlohmann::json trials = nlohmann::json::array();
    for (const TrialOutcome& outcome : group.trials) trials.push_back(json_of(outcome));
    groups.push_back({{"group", group.group},
                      {"mean", json_of(group.mean)},
                      {"std", json_of(group.std)},
                      {"trials", trials}});
  }
  const nlohmann::json json = {{"metric", summary.metric},
                               {"is_higher_better", is_higher_better(summary.metric)},
                               {"groups", groups}};
  write_file_atomic(file, json.dump(2) + "\n");
}

}  // namespace podium::sweeps
