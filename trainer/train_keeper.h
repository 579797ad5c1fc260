// What happens between steps and epochs: step lines, progress, checkpoints, stopping on a signal.
// Read next: train.cpp.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/progress.h"
#include "trainer/checkpoint.h"
#include "trainer/manifest.h"
#include "trainer/metrics_log.h"
#include "trainer/run_directory.h"
#include "trainer/signals.h"
#include "trainer/train_loop.h"

namespace podium::trainer {

// One per run and rank; rank 0 writes.
class RunKeeper : public StepBoundary {
 public:
  // `manifest` is null on the other ranks. All references outlive it.
  RunKeeper(RunDirectory directory, RunIdentity identity, const Trainee& run,
            const data_shards::Loader& loader, const StopSignals& signals, Manifest* manifest,
            const RunPosition& start);

  StepRequest request() override;
  // Errors: InterruptedError on all ranks, after the checkpoint; IoError.
  void after_step(const RunPosition& position, const StepFacts& facts) override;

  // The line of a finished epoch (`epoch` from 1) and its digests, which rank 0 has.
  void after_epoch(int64_t epoch, const RunPosition& position,
                   const std::map<std::string, double>& metrics, const StateDigests& digests);
  // Writes a checkpoint of `position` unless it is there already. Collective: all ranks.
  void save(const RunPosition& position);

 private:
  bool is_writer() const { return run_.communicator->rank() == 0; }
  void report(const RunPosition& position, const StepFacts& facts);

  RunDirectory directory_;
  RunIdentity identity_;
  const Trainee& run_;
  const data_shards::Loader& loader_;
  Manifest* manifest_;
  MetricsLog log_;
  const StopSignals& signals_;
  std::unique_ptr<Progress> progress_;  // null: not a terminal, or not rank 0
  int64_t saved_step_;                  // global step of the newest checkpoint of this process
  std::chrono::steady_clock::time_point saved_at_;
  // Since the last step line.
  std::chrono::steady_clock::time_point reported_at_;
  int64_t reported_step_;
  double reported_wait_s_ = 0;
};

// "val_loss 0.31, val_map 0.82".
std::string metrics_text(const std::map<std::string, double>& metrics);

}  // namespace podium::trainer
