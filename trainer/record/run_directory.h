// The folder of one run: names of its parts, and the lock that keeps a second run out. Layout:
// docs/formats.md. Read next: checkpoint.h, manifest.h, metrics_log.h.
#pragma once

#include <filesystem>
#include <string>

namespace podium::trainer {

struct RunDirectory {
  std::filesystem::path root;

  std::filesystem::path recipe() const { return root / "recipe.yaml"; }
  std::filesystem::path folds() const { return root / "folds.json"; }  // copy of --folds
  std::filesystem::path manifest() const { return root / "manifest.json"; }
  std::filesystem::path digests() const { return root / "digests.jsonl"; }
  std::filesystem::path result() const { return root / "result.json"; }
  std::filesystem::path metrics() const { return root / "metrics.jsonl"; }
  std::filesystem::path weights() const { return root / "weights.safetensors"; }
  std::filesystem::path checkpoints() const { return root / "checkpoints"; }
  std::filesystem::path predictions() const { return root / "predictions"; }
  std::filesystem::path oof_predictions() const { return predictions() / "oof"; }
  std::filesystem::path logs() const { return root / "logs"; }
  std::filesystem::path lock() const { return root / "lock"; }

  // True when a run has begun here (recipe.yaml is there).
  bool is_started() const { return std::filesystem::exists(recipe()); }
  // Folders of a run, and no remains of files that a killed run was writing.
  void make() const;
};

// Holds DIR/lock (flock) as long as it lives; the kernel lets go of it when the process dies,
// however it dies.
class RunLock {
 public:
  // Errors: UsageError "DIR is in use by host a, pid 12 since ...; wait for it, stop it, or choose
  // another --run_dir"; IoError.
  explicit RunLock(const RunDirectory& directory);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int descriptor_ = -1;
};

std::string host_name();
// UTC, "2025-01-31T12:00:00Z".
std::string utc_now();

}  // namespace podium::trainer
