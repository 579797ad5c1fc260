// The comparison of the ranks' state while a run goes on. Read next: ../record/state_digest.h.
#pragma once

#include <cstdint>

#include "trainer/record/state_digest.h"
#include "trainer/step/run_position.h"
#include "trainer/step/train_loop.h"

namespace podium::trainer {

// Before a step's log lines and checkpoints are written, checks every
// `train.state_check_every_steps` that the ranks hold the same state; also before each checkpoint,
// so that none holds a damaged one. One worker alone has nothing to compare.
class StateCheck : public StepBoundary {
 public:
  // `run` and `next`, which comes after the check, outlive it.
  StateCheck(const TrainingRun& run, StepBoundary& next) : run_(run), next_(next) {}

  StepRequest request() override { return next_.request(); }
  // Errors: those of require_equal_state and of `next`.
  void after_step(const RunPosition& position, const StepFacts& facts) override;
  // Digests of the state after an epoch; the ranks' are compared unless the check is off.
  StateDigests after_epoch(const RunPosition& position);

 private:
  bool is_on() const;
  bool is_due(const RunPosition& position, const StepFacts& facts) const;
  void require_equal(const StateDigests& digests, const RunPosition& position);

  const TrainingRun& run_;
  StepBoundary& next_;
  int64_t last_good_step_ = -1;
};

}  // namespace podium::trainer
