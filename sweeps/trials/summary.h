// The result of a sweep: each group's metric over its folds, best first. Read next: sweep.h.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sweeps/trials/ledger.h"

namespace podium::sweeps {

// One trial as the summary shows it.
struct TrialOutcome {
  Trial trial;
  TrialState state = TrialState::kPending;
  std::map<std::string, double> metrics;
  std::optional<Failure> failure;
};

// The folds of one group together.
struct GroupOutcome {
  std::string group;
  std::optional<double> mean;  // over the folds that are done; none: no fold has the metric
  std::optional<double> std;   // sample standard deviation (ddof 1); none for fewer than two folds
  std::vector<TrialOutcome> trials;
};

struct Summary {
  std::string metric;                // "" when no trial has one
  std::vector<GroupOutcome> groups;  // best first, those without the metric last
};

// Whether a larger value of the metric is better, as the catalogue says; true for "".
bool is_higher_better(const std::string& metric);

// `metric` empty: the first of the catalogue (metric_table.h) that a trial has.
Summary summarize(const std::vector<TrialOutcome>& outcomes, const std::string& metric);

// The table that ends `podium sweep`.
std::string summary_text(const Summary& summary);
// Writes summary.json.
void save_summary(const Summary& summary, const std::filesystem::path& file);

}  // namespace podium::sweeps
