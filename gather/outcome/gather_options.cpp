// Names of the choices.
#include "gather/outcome/gather_options.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace podium::gather {
namespace {

template <typename Value>
Value choose(const std::string& flag, const std::string& name,
             const std::vector<std::pair<std::string, Value>>& choices) {
  std::vector<std::string> names;
  for (const auto& [choice, value] : choices) {
    if (choice == name) {
      return value;
    }
    names.push_back(choice);
  }
  throw UsageError(fmt::format("{}={}: expected one of {}{}", flag, name, join(names, ", "),
                               did_you_mean(name, names)));
}

}  // namespace

EnsembleMethod parse_ensemble_method(const std::string& name) {
  return choose<EnsembleMethod>("--ensemble", name,
                                {{"mean", EnsembleMethod::kMean},
                                 {"best", EnsembleMethod::kBest},
                                 {"greedy", EnsembleMethod::kGreedy}});
}

SubmissionValues parse_submission_values(const std::string& name) {
  return choose<SubmissionValues>(
      "--submission_values", name,
      {{"probabilities", SubmissionValues::kProbabilities}, {"labels", SubmissionValues::kLabels}});
}

RleOrder parse_rle_order(const std::string& name) {
  return choose<RleOrder>("--rle_order", name,
                          {{"row", RleOrder::kRowMajor}, {"column", RleOrder::kColumnMajor}});
}

ThresholdRule parse_threshold_rule(const std::string& name) {
  return choose<ThresholdRule>("--threshold_rule", name,
                               {{"f1", ThresholdRule::kF1}, {"youden", ThresholdRule::kYouden}});
}

std::string method_name(EnsembleMethod method) {
  return method == EnsembleMethod::kMean ? "mean"
                                         : (method == EnsembleMethod::kBest ? "best" : "greedy");
}

}  // namespace podium::gather
