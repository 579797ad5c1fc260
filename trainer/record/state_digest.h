// Digests of everything that a step changes, tensor by tensor, and their comparison: between the
// ranks of a run, and between a run and its repetition (rerun.h). Format: docs/formats.md,
// digests.jsonl.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "distributed/communicator.h"
#include "trainer/record/checkpoint.h"
#include "trainer/step/run_state.h"
#include "trainer/step/train_loop.h"

namespace podium::trainer {

// The state between two steps. Names are GROUP/TENSOR: "weights/fc.bias",
// "buffers/bn1.running_mean", "optimizer/exp_avg.fc.bias" (with the loss scale), "ema/fc.bias"; of
// a further network NAME.GROUP/TENSOR: "teacher.weights/fc.bias".
struct StateDigests {
  std::map<std::string, std::string> tensors;  // name -> XXH3-128

  // XXH3-128 over "NAME DIGEST\n" of all tensors in name order.
  std::string state() const;
  // The same for each group: "weights", "buffers" (running statistics), "optimizer", "ema".
  std::map<std::string, std::string> groups() const;
};

// `buffers`: of each network's name, which of its names are buffers. Complexity: one pass over all
// bytes; from a GPU, one copy.
StateDigests digest_state(const RunState& state,
                          const std::map<std::string, std::set<std::string>>& buffers);
StateDigests digest_state(const TrainingRun& run);

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

}  // namespace podium::trainer
