// Digests of everything that a step changes, tensor by tensor, and their comparison: between the
// ranks of a run, and between a run and its repetition (rerun.h). Format: docs/formats.md,
// digests.jsonl.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "trainer/record/checkpoint.h"
#include "distributed/communicator.h"
#include "trainer/step/train_loop.h"

namespace podium::trainer {

// The state between two steps. Names are GROUP/TENSOR: "weights/fc.bias",
// "buffers/bn1.running_mean", "optimizer/exp_avg.fc.bias", "ema/fc.bias".
struct StateDigests {
  std::map<std::string, std::string> tensors;  // name -> XXH3-128

  // XXH3-128 over "NAME DIGEST\n" of all tensors in name order.
  std::string state() const;
  // The same for each group: "weights", "buffers" (running statistics), "optimizer", "ema".
  std::map<std::string, std::string> groups() const;
};

// `buffers`: names among state.weights that are no parameters. Complexity: one pass over all bytes;
// from a GPU, one copy.
StateDigests digest_state(const CheckpointTensors& state, const std::set<std::string>& buffers);
StateDigests digest_state(const Trainee& run);

struct TensorDifference {
  std::string tensor;
  std::string left, right;  // digests; "none" where the tensor is missing
  int64_t num_different = 0;
  int64_t num_tensors = 0;
};
// The first tensor in name order, weights before buffers, optimizer and ema. nullopt: equal.
std::optional<TensorDifference> first_difference(const StateDigests& left,
                                                 const StateDigests& right);

// One digest of each rank is compared; the tensors' are exchanged only when those differ.
// `last_good_step`: when the ranks were last found equal; -1: never.
// Errors: DistributedError with step, ranks (the few against the many), host, tensor and digests.
// Collective: all ranks, same order; blocks.
void require_equal_state(const StateDigests& digests, int64_t global_step, int64_t last_good_step,
                         Communicator& communicator);

// Before a step's log lines and checkpoints are written, checks every
// `train.state_check_every_steps` that the ranks hold the same state; also before each checkpoint,
// so that none holds a damaged one. One worker alone has nothing to compare.
class StateCheck : public StepBoundary {
 public:
  // `run` and `next`, which comes after the check, outlive it.
  StateCheck(const Trainee& run, StepBoundary& next) : run_(run), next_(next) {}

  StepRequest request() override { return next_.request(); }
  // Errors: those of require_equal_state and of `next`.
  void after_step(const RunPosition& position, const StepFacts& facts) override;
  // Digests of the state after an epoch; the ranks' are compared unless the check is off.
  StateDigests after_epoch(const RunPosition& position);

 private:
  bool is_on() const;
  bool is_due(const RunPosition& position, const StepFacts& facts) const;
  void require_equal(const StateDigests& digests, const RunPosition& position);

  const Trainee& run_;
  StepBoundary& next_;
  int64_t last_good_step_ = -1;
};

}  // namespace podium::trainer
