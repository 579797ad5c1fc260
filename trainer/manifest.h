// manifest.json: what a run was made of and what came out, enough to repeat and compare it. Format:
// docs/formats.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/recipe.h"
#include "trainer/checkpoint.h"
#include "trainer/communicator.h"
#include "trainer/train_setup.h"

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

// Kept on rank 0; every change is saved at once.
class Manifest {
 public:
  // A new manifest for a new run.
  Manifest(std::filesystem::path file, const ManifestFacts& facts);
  // That of an earlier process. Errors: DataError, IoError.
  explicit Manifest(std::filesystem::path file);

  // A process takes the run up at `position`: machine, workers and threads; epochs from there on
  // are forgotten.
  void add_start(const Communicator& communicator, const ThreadCounts& threads,
                 const RunPosition& position, bool is_fastest);
  // `epoch` from 1.
  void add_epoch(int64_t epoch, const std::string& weights_digest);
  void finish(const std::string& weights_digest, const std::string& predictions_digest);

  const nlohmann::json& json() const { return json_; }
  RunIdentity identity() const;

 private:
  void save() const;

  std::filesystem::path file_;
  nlohmann::json json_;
};

// Errors: DataError "FILE: not a manifest ...", IoError.
nlohmann::json read_manifest(const std::filesystem::path& file);

// Host, processor, vector instructions that libtorch uses, cores, GPUs.
nlohmann::json describe_machine();

}  // namespace podium::trainer
