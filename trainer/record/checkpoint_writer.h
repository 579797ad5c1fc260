// Writes checkpoints beside the training: a step waits for a copy in memory, not for the disk. Read
// next: train_keeper.h.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>

#include "trainer/record/checkpoint.h"
#include "trainer/step/run_position.h"
#include "trainer/step/run_state.h"

namespace podium::trainer {

// One thread, at most one checkpoint in flight. For one rank of a run; calls from one thread.
class CheckpointWriter {
 public:
  CheckpointWriter(std::filesystem::path directory, RunIdentity identity, uint64_t seed,
                   RetentionRule rule);
  ~CheckpointWriter();  // finishes what is in flight
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Copies the state into buffers of its own, kept for the next time, and returns; the thread
  // writes. Waits first for the checkpoint in flight. A failure is a warning in the log and stays
  // for take_failure(); earlier checkpoints are as they were.
  void start(const RunPosition& position, const RunState& state);
  // Writes on this thread, after what is in flight; does nothing when that step is written already.
  // Errors: IoError.
  void write(const RunPosition& position, const RunState& state);
  bool is_busy();
  // True once after a checkpoint in flight could not be written.
  bool take_failure();

 private:
  void run();
  void wait_until_idle(std::unique_lock<std::mutex>& lock);

  const std::filesystem::path directory_;
  const RunIdentity identity_;
  const uint64_t seed_;
  const RetentionRule rule_;

  std::mutex mutex_;  // of what follows, but the buffers while a checkpoint is in flight
  std::condition_variable changed_;
  bool is_in_flight_ = false;
  bool is_stopping_ = false;
  bool has_failed_ = false;
  int64_t written_step_ = -1;  // global step of the newest one that this object wrote
  RunPosition position_;
  RunState buffers_;  // on the host
  std::thread thread_;
};

}  // namespace podium::trainer
