// The training loop, on logical workers: the same for one and for many real workers. Read next:
// evaluate.h, checkpoint.h.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>

#include "data_shards/load/loader.h"
#include "data_shards/transform/mix.h"
#include "models/interface/vision_model.h"
#include "trainer/step/batch_feed.h"
#include "trainer/step/run_state.h"
#include "distributed/communicator.h"
#include "trainer/step/ema.h"
#include "distributed/reduce/gradient_reducer.h"
#include "trainer/losses/loss.h"
#include "trainer/step/loss_scaler.h"
#include "trainer/optimizers/optimizer.h"
#include "trainer/recipe/train_settings.h"
#include "trainer/schedules/schedule.h"
#include "trainer/step/norm_reducer.h"
#include "trainer/step/run_position.h"
#include "trainer/step/run_state.h"

namespace podium::trainer {

// What a rank asks of all at the end of a step; the strongest request of any rank holds.
enum class StepRequest : int { kNone = 0, kCheckpoint = 1, kStop = 2 };

struct StepFacts {
  double loss = 0;  // mean over all leaves, equal on all ranks
  double lr = 0;
  double grad_norm = 0;  // before clipping; infinite: the update was left out (fp16)
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
struct Trainee {
  TrainSettings settings;
  ScheduleOptions schedule;
  data_shards::Task task = data_shards::Task::kMultiLabel;
  int64_t num_classes = 0;
  data_shards::MixOptions mix;
  int64_t steps_per_epoch = 0;
  Communicator* communicator = nullptr;
  std::shared_ptr<models::VisionModel> model;
  std::unique_ptr<Loss> loss;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Ema> ema;            // null: none
  std::unique_ptr<LossScaler> scaler;  // null: not fp16
  std::unique_ptr<GradientReducer> reducer;
  std::unique_ptr<NormReducer> norms;

  CheckpointTensors state() const;  // shares storage with the run
  void load_state(const CheckpointTensors& state);
};

// Delivers this rank's leaves in (epoch, step, leaf) order from `position` on, to the end of the
// last epoch.
std::function<std::optional<data_shards::MicroBatchPlan>()> plan_training(
    std::shared_ptr<const data_shards::TrainSampler> sampler, const RunPosition& position,
    int64_t epochs, int64_t first_leaf, int64_t num_local_leaves);

// Makes the rest of the epoch's steps and moves `position`.
// Random: dropout and mixing, keyed by (seed, global step, leaf). Errors: DivergedError with epoch
// and step; those of loader and boundary.
void train_one_epoch(Trainee& run, BatchFeed& feed, StepBoundary& boundary, RunPosition& position);

// The type of matrix products under "fp32", "bf16" or "fp16".
torch::ScalarType autocast_type(const std::string& precision);

// Autocast to a half type while it lives, or none for float32; the cache of cast weights is dropped
// at the end, because the next step changes them.
class AutocastGuard {
 public:
  AutocastGuard(torch::Device device, torch::ScalarType type);
  ~AutocastGuard();
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  torch::DeviceType type_;
  bool was_enabled_;
  torch::ScalarType earlier_type_;
};

// The member of the batch that the task's losses take, on `device`.
torch::Tensor targets_of(const data_shards::Batch& batch, data_shards::Task task,
                         torch::Device device);

}  // namespace podium::trainer
