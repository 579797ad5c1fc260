#include "sweeps/trials/ledger.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "sweeps/trials/lease.h"

namespace podium::sweeps {
namespace fs = std::filesystem;
namespace {

constexpr const char* kTrainedFile = "TRAINED";
constexpr const char* kFailedFile = "FAILED";
constexpr const char* kTestFile = "test.json";

// A JSON object, or null when the file is missing or damaged.
nlohmann::json json_of(const fs::path& file) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return nullptr;
  auto json = nlohmann::json::parse(read_file(file), nullptr, false);
  return json.is_object() ? json : nlohmann::json(nullptr);
}

void write_json(const fs::path& file, const nlohmann::json& json) {
  write_file_atomic(file,
                    json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace

std::string state_name(TrialState state) {
  switch (state) {
    case TrialState::kPending:
      return "pending";
    case TrialState::kRunning:
      return "running";
    case TrialState::kTrained:
      return "trained";
    case TrialState::kDone:
      return "done";
    case TrialState::kFailed:
      return "failed";
  }
  return "unknown";
}

TrialState state_of(const Trial& trial, const std::string& test,
                    std::chrono::milliseconds lease_timeout) {
  std::error_code ignored;
  if (!fs::exists(trial.directory, ignored)) return TrialState::kPending;
  if (is_done(trial.directory)) {
    const auto json = json_of(trial.directory / kTestFile);
    const bool is_current = json.is_object() && json.value("data_digest", "") == test;
    if (test.empty() || is_current) return TrialState::kDone;
  }
  const auto holder = lease_holder(trial.directory, lease_timeout);
  if (holder && !holder->is_stale) return TrialState::kRunning;
  if (failure_of(trial)) return TrialState::kFailed;
  return fs::exists(trial.directory / kTrainedFile, ignored) ? TrialState::kTrained
                                                             : TrialState::kPending;
}

void record_start(const Trial& trial, const SweepPlan& plan) {
  make_directories(trial.directory);
  write_json(trial.directory / "trial.json", {{"name", trial.name},
                                              {"group", trial.group},
                                              {"fold", trial.fold},
                                              {"digest", trial.digest},
                                              {"plan", plan.file.string()},
                                              {"recipe", plan.recipe.string()},
                                              {"overrides", trial.overrides},
                                              {"data", plan.data.string()},
                                              {"folds", plan.folds.string()},
                                              {"workers", plan.workers}});
}

void record_trained(const Trial& trial) { write_file_atomic(trial.directory / kTrainedFile, ""); }

void record_done(const Trial& trial, const std::string& test) {
  if (!test.empty()) write_json(trial.directory / kTestFile, {{"data_digest", test}});
  std::error_code ignored;
  fs::remove(trial.directory / kFailedFile, ignored);
  mark_done(trial.directory);
}

void record_failure(const Trial& trial, const Failure& failure) {
  make_directories(trial.directory);
  write_json(trial.directory / kFailedFile, {{"code", failure.code},
                                             {"step", failure.step},
                                             {"message", failure.message},
                                             {"time", failure.time}});
}

void withdraw_done(const Trial& trial) {
  std::error_code ignored;
  fs::remove(trial.directory / kDoneFile, ignored);
}

std::optional<Failure> failure_of(const Trial& trial) {
  const auto json = json_of(trial.directory / kFailedFile);
  if (!json.is_object()) return std::nullopt;
  return Failure{json.value("code", 0), json.value("step", ""), json.value("message", ""),
                 json.value("time", 0.0)};
}

std::map<std::string, double> metrics_of(const Trial& trial) {
  std::map<std::string, double> metrics;
  const auto json = json_of(trial.directory / "run" / "result.json");
  if (!json.is_object() || !json.contains("metrics") || !json["metrics"].is_object())
    return metrics;
  for (const auto& [name, value] : json["metrics"].items()) {
    if (value.is_number()) metrics[name] = value.get<double>();
  }
  return metrics;
}

}  // namespace podium::sweeps
