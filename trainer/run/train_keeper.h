// What happens between steps and epochs: step lines, progress, checkpoints, stopping on a signal.
// Read next: train.cpp.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/process/stop_signals.h"
#include "base/progress.h"
#include "trainer/record/checkpoint.h"
#include "trainer/record/checkpoint_writer.h"
#include "trainer/record/manifest.h"
#include "trainer/record/metrics_log.h"
#include "trainer/record/run_directory.h"
#include "trainer/step/run_position.h"
#include "trainer/step/train_loop.h"

namespace podium::trainer {

// One per run and rank; rank 0 writes.
class RunKeeper : public StepBoundary {
 public:
  // `manifest` is null on the other ranks. All references outlive it.
  RunKeeper(RunDirectory directory, RunIdentity identity, const TrainingRun& run,
            const data_shards::Loader& loader, const StopSignals& signals, Manifest* manifest,
            const RunPosition& start);

  StepRequest request() override;
  // Starts a checkpoint that is due by steps, time or epoch. Errors: InterruptedError on all ranks,
  // after the checkpoint; IoError when that one could not be written.
  void after_step(const RunPosition& position, const StepFacts& facts) override;

  // The line of a finished epoch (`epoch` from 1) and its digests, which rank 0 has.
  void after_epoch(int64_t epoch, const RunPosition& position,
                   const std::map<std::string, double>& metrics, const StateDigests& digests);
  // Writes the checkpoint of the last step and waits for it. One that cannot be written is a
  // warning: what is left of the run needs none. Collective: all ranks.
  void save_last(const RunPosition& position);

 private:
  bool is_writer() const { return run_.communicator->rank() == 0; }
  bool is_checkpoint_due(const RunPosition& position) const;
  void start_checkpoint(const RunPosition& position);
  [[noreturn]] void stop(const RunPosition& position);
  void report(const RunPosition& position, const StepFacts& facts);

  RunDirectory directory_;
  const TrainingRun& run_;
  const data_shards::Loader& loader_;
  Manifest* manifest_;
  MetricsLog log_;
  const StopSignals& signals_;
  std::unique_ptr<Progress> progress_;               // null: not a terminal, or not rank 0
  std::unique_ptr<CheckpointWriter> writer_;         // null: not rank 0
  std::chrono::steady_clock::time_point next_save_;  // by time
  // Since the last step line.
  std::chrono::steady_clock::time_point reported_at_;
  int64_t reported_step_;
  double reported_wait_s_ = 0;
};

}  // namespace podium::trainer
