// manifest.json: what a run was made of and what came out, enough to repeat and compare it; and
// digests.jsonl beside it, the digest of every tensor after each epoch. Format: docs/formats.md.
// Read next: manifest_facts.h (surroundings), rerun_inputs.h (the repetition).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/recipe/recipe.h"
#include "distributed/communicator.h"
#include "trainer/recipe/class_info.h"
#include "trainer/recipe/data_setup.h"
#include "trainer/recipe/process_setup.h"
#include "trainer/recipe/train_options.h"
#include "trainer/record/checkpoint.h"
#include "trainer/record/manifest_facts.h"
#include "trainer/record/state_digest.h"
#include "trainer/step/run_position.h"

namespace podium::trainer {

// What a manifest says about the run as a whole.
struct ManifestFacts {
  const Recipe* recipe = nullptr;
  const TrainOptions* options = nullptr;
  const TrainData* data = nullptr;
  const ClassInfo* info = nullptr;
  RunIdentity identity;
  std::string trial_name, model_group;
  int64_t steps_per_epoch = 0;
};

// What is known about the state after an epoch.
struct EpochRecord {
  int64_t epoch = 0;  // from 1
  int64_t global_step = 0;
  std::string weights_digest;  // of the trained (not averaged) weights and buffers
  std::string state_digest;    // StateDigests::state()
  std::map<std::string, std::string> group_digests;  // StateDigests::groups()
  StateDigests tensors;                              // empty where digests.jsonl is not at hand
  std::map<std::string, double> metrics;             // train_loss, and those of the evaluation
};

// Kept on rank 0; every change is saved at once.
class Manifest {
 public:
  // A new manifest for a new run.
  Manifest(std::filesystem::path file, const ManifestFacts& facts);
  // That of an earlier process. Errors: DataError, IoError.
  explicit Manifest(std::filesystem::path file);

  // A process takes the run up at `position`: machines, build, workers and threads; epochs from
  // there on are forgotten, in digests.jsonl too. `machines`: describe_machines.
  void add_start(const Communicator& communicator, const nlohmann::json& machines,
                 const ThreadCounts& threads, const RunPosition& position, bool is_fastest);
  // Also a line of digests.jsonl.
  void add_epoch(const EpochRecord& record);
  void finish(const std::string& weights_digest, const std::string& predictions_digest,
              const std::map<std::string, double>& metrics);

  const nlohmann::json& json() const { return json_; }
  RunIdentity identity() const;

 private:
  std::filesystem::path digests_file() const { return file_.parent_path() / "digests.jsonl"; }
  void save() const;

  std::filesystem::path file_;
  nlohmann::json json_;
};

// Errors: DataError "FILE: not a manifest ...", IoError.
nlohmann::json read_manifest(const std::filesystem::path& file);

// The epochs of a manifest by number, with the tensors of the digests.jsonl beside it, if it is
// there; a torn last line is passed over. Errors: DataError "FILE:2: ...", IoError.
std::map<int64_t, EpochRecord> read_epochs(const std::filesystem::path& manifest_file);

// {"val_map": 0.5}; null reads as NaN.
std::map<std::string, double> metrics_of_json(const nlohmann::json& json);

}  // namespace podium::trainer
