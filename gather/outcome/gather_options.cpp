// Names of the choices that are no parts of a table.
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

SubmissionValues parse_submission_values(const std::string& name) {
  return choose<SubmissionValues>(
      "--submission_values", name,
      {{"probabilities", SubmissionValues::kProbabilities}, {"labels", SubmissionValues::kLabels}});
}

RleOrder parse_rle_order(const std::string& name) {
  return choose<RleOrder>("--rle_order", name,
                          {{"row", RleOrder::kRowMajor}, {"column", RleOrder::kColumnMajor}});
}

}  // namespace podium::gather
