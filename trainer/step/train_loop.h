// The training loop, on logical workers: the same for one and for many real workers. Read next:
// evaluate.h, checkpoint.h.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "data_shards/mix/mix.h"
#include "data_shards/plan/plan_stream.h"
#include "data_shards/plan/sampler.h"
#include "distributed/communicator.h"
#include "trainer/losses/loss.h"
#include "trainer/recipe/train_settings.h"
#include "trainer/schedules/schedule.h"
#include "trainer/step/batch_feed.h"
#include "trainer/step/forward_pass.h"
#include "trainer/step/network.h"
#include "trainer/step/objective.h"
#include "trainer/step/run_position.h"
#include "trainer/step/run_state.h"

namespace podium::trainer {

// What a rank asks of all at the end of a step; the strongest request of any rank holds.
enum class StepRequest : int { kNone = 0, kCheckpoint = 1, kStop = 2 };

struct StepFacts {
  double loss = 0;  // mean over all leaves and networks, equal on all ranks
  double lr = 0;
  double grad_norm = 0;  // the largest of any network, before clipping; infinite: an update was
                         // left out (fp16)
  StepRequest request = StepRequest::kNone;
};

// What happens between two steps: logging, checkpoints, stopping.
class StepBoundary {
 public:
  virtual ~StepBoundary() = default;
  virtual StepRequest request() = 0;  // of this rank
  // May throw, on all ranks alike.
  virtual void after_step(const RunPosition& position, const StepFacts& facts) = 0;
};

// All that a step changes or needs.
struct TrainingRun {
  TrainSettings settings;
  ScheduleOptions schedule;
  data_shards::Task task = data_shards::Task::kMultiLabel;
  int64_t num_classes = 0;
  data_shards::MixOptions mix;
  int64_t steps_per_epoch = 0;
  Communicator* communicator = nullptr;
  std::optional<ForwardPass> forward;
  std::shared_ptr<const Loss> loss;
  std::unique_ptr<Objective> objective;  // of each network
  std::vector<Network> networks;         // the first is the run's own

  Network& network() { return networks.front(); }
  const Network& network() const { return networks.front(); }
  RunState state() const;  // shares storage with the run
  // Errors: DataError also for groups that no network has.
  void load_state(const RunState& state);
};

// Delivers this rank's leaves in (epoch, step, leaf) order from `position` on, to the end of the
// last epoch.
data_shards::PlanStream plan_training(std::shared_ptr<const data_shards::TrainSampler> sampler,
                                      const RunPosition& position, int64_t epochs,
                                      int64_t first_leaf, int64_t num_local_leaves);

// Makes the rest of the epoch's steps and moves `position`.
// Random: dropout and mixing, keyed by (seed, global step, leaf). Errors: DivergedError with epoch
// and step; those of loader and boundary.
void train_one_epoch(TrainingRun& run, BatchFeed& feed, StepBoundary& boundary,
                     RunPosition& position);

// The member of the batch that the task's losses take, on `device`.
torch::Tensor targets_of(const data_shards::Batch& batch, data_shards::Task task,
                         torch::Device device);

}  // namespace podium::trainer
