// rerun.json and the table that a person reads. Format: docs/formats.md.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "trainer/record/rerun_compare.h"

namespace podium::trainer {

nlohmann::json to_json(const RerunOutcome& outcome, const RunRecord& recorded,
                       const RunRecord& here);
// A table for people.
std::string summary_text(const RerunOutcome& outcome, const RunRecord& recorded,
                         const RunRecord& here);
std::string verdict_name(RerunVerdict verdict);

}  // namespace podium::trainer
