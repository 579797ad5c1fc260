// One epoch: for each step, this rank's leaves one after another, the reduction, the check, the
// update.
#include "trainer/step/train_loop.h"

#include <ATen/autocast_mode.h>
#include <fmt/format.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <deque>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/rng.h"
#include "models/weights/weights.h"
#include "trainer/optimizers/clip_grad_norm.h"

namespace podium::trainer {

using data_shards::Batch;
using data_shards::MicroBatchPlan;
using data_shards::Task;

namespace {

// The losses of all leaves in leaf order, and the strongest request.
struct Exchange {
  std::vector<double> losses;
  StepRequest request = StepRequest::kNone;
};

// One small collective per step carries both.
Exchange exchange(Communicator& communicator, std::vector<torch::Tensor> leaf_losses,
                  StepRequest request) {
  const auto num_leaves = static_cast<int64_t>(leaf_losses.size());
  const auto options = torch::dtype(torch::kFloat64).device(communicator.device());
  leaf_losses.push_back(torch::tensor(static_cast<double>(request)));
  for (torch::Tensor& loss : leaf_losses) loss = loss.to(options).reshape({1});
  const torch::Tensor local = torch::cat(leaf_losses);
  const torch::Tensor all = torch::empty({communicator.world_size() * (num_leaves + 1)}, options);
  communicator.all_gather(all, local)->wait();
  const torch::Tensor host = all.to(torch::kCPU);
  Exchange result;
  for (int64_t i = 0; i < host.numel(); ++i) {
    const double value = host.const_data_ptr<double>()[i];
    if (i % (num_leaves + 1) < num_leaves) {
      result.losses.push_back(value);
    } else {
      result.request = std::max(result.request, static_cast<StepRequest>(static_cast<int>(value)));
    }
  }
  return result;
}

// Mean over the leaves, summed in leaf order: the same bits for any number of ranks.
double mean_loss(const std::vector<double>& losses, const RunPosition& position) {
  double sum = 0;
  for (size_t leaf = 0; leaf < losses.size(); ++leaf) {
    if (!std::isfinite(losses[leaf])) {
      throw DivergedError(fmt::format(
          "the loss is {} in epoch {}, step {} (logical batch {} of {}); lower optimizer.lr, add a "
          "warm-up, or set train.clip_grad_norm",
          losses[leaf], position.epoch + 1, position.global_step + 1, leaf, losses.size()));
    }
    sum += losses[leaf];
  }
  return sum / static_cast<double>(losses.size());
}

// Images and targets, mixed where the recipe says so. `leaf`: of all ranks.
data_shards::Mixed network_input(const Trainee& run, const DeviceBatch& batch,
                                 const RunPosition& position, uint64_t leaf) {
  data_shards::Mixed input{batch.images, batch.targets};
  if (!run.mix.is_on(position.epoch)) return input;
  const auto step = static_cast<uint64_t>(position.global_step);
  const data_shards::ImageSize size{static_cast<int>(input.images.size(2)),
                                    static_cast<int>(input.images.size(3))};
  const data_shards::MixDraw draw = data_shards::draw_mix(
      run.mix, size, batch.host.masks, Rng(run.settings.seed, RandomPurpose::kMix, step, leaf));
  return data_shards::apply_mix(draw, run.task, run.num_classes, input.images, input.targets);
}

torch::Tensor leaf_loss(Trainee& run, const data_shards::Mixed& input) {
  torch::Tensor logits;
  {
    const AutocastGuard autocast(run.communicator->device(), autocast_type(run.settings.precision));
    logits = run.model
                 ->forward(run.settings.is_channels_last
                               ? input.images.contiguous(torch::MemoryFormat::ChannelsLast)
                               : input.images)
                 .logits;
  }
  return (*run.loss)(logits.to(torch::kFloat32), input.targets);
}

// Loss scales below this do not come from a few overflows.
constexpr double kMinLossScale = 1.0 / 65536;

// One update from the reduced gradient; in fp16 it is left out when that one is not finite. Returns
// the gradient's norm.
double update(Trainee& run, const StepFacts& facts, const RunPosition& position) {
  const bool is_applied = !run.scaler || run.scaler->unscale(run.optimizer->groups());
  double norm = std::numeric_limits<double>::infinity();
  if (is_applied) {
    norm = clip_grad_norm(run.optimizer->groups(), run.settings.clip_grad_norm);
    if (!std::isfinite(norm)) {
      throw DivergedError(
          fmt::format("the gradient norm is {} in epoch {}, step {} (loss {}); lower "
                      "optimizer.lr, or set train.precision: fp32",
                      norm, position.epoch + 1, position.global_step + 1, facts.loss));
    }
    run.optimizer->step(facts.lr);
    if (run.ema) run.ema->update(*run.model);
  } else if (run.scaler->current() < kMinLossScale) {
    throw DivergedError(fmt::format(
        "the loss scale fell to {} in epoch {}, step {} (loss {}): gradients overflow at every "
        "scale; lower optimizer.lr, or set train.precision: bf16 or fp32",
        run.scaler->current(), position.epoch + 1, position.global_step + 1, facts.loss));
  }
  run.optimizer->zero_grad();
  return norm;
}

}  // namespace

void train_one_epoch(Trainee& run, BatchFeed& feed, StepBoundary& boundary, RunPosition& position) {
  run.model->train();
  while (position.step < run.steps_per_epoch) {
    const auto step = static_cast<uint64_t>(position.global_step);
    std::vector<torch::Tensor> losses;
    run.reducer->begin_step();
    for (int64_t leaf = 0; leaf < run.reducer->num_local_leaves(); ++leaf) {
      const DeviceBatch batch = feed.next();
      const auto global_leaf = static_cast<uint64_t>(run.reducer->first_leaf() + leaf);
      torch::manual_seed(
          derive_seed(run.settings.seed, RandomPurpose::kDropout, step, global_leaf));
      run.reducer->begin_leaf(leaf);
      const torch::Tensor loss = leaf_loss(run, network_input(run, batch, position, global_leaf));
      run.norms->collect();
      (run.scaler ? run.scaler->scale(loss) : loss).backward();
      feed.prefetch();
      run.reducer->end_leaf();
      losses.push_back(loss.detach());
    }
    run.reducer->finish_step();
    run.norms->finish();

    const Exchange all = exchange(*run.communicator, std::move(losses), boundary.request());
    StepFacts facts;
    facts.loss = mean_loss(all.losses, position);
    facts.request = all.request;
    facts.lr = learning_rate(run.schedule, position.global_step);
    facts.grad_norm = update(run, facts, position);
    ++position.step;
    ++position.global_step;
    position.epoch_loss_sum += facts.loss;
    boundary.after_step(position, facts);
  }
}

std::function<std::optional<MicroBatchPlan>()> plan_training(
    std::shared_ptr<const data_shards::TrainSampler> sampler, const RunPosition& position,
    int64_t epochs, int64_t first_leaf, int64_t num_local_leaves) {
  struct Cursor {
    int64_t epoch, step;
    std::deque<MicroBatchPlan> ready;
  };
  auto cursor = std::make_shared<Cursor>(Cursor{position.epoch, position.step, {}});
  return [=]() -> std::optional<MicroBatchPlan> {
    if (cursor->ready.empty()) {
      if (cursor->step >= sampler->steps_per_epoch()) {
        ++cursor->epoch;
        cursor->step = 0;
      }
      if (cursor->epoch >= epochs) return std::nullopt;
      const auto plans = sampler->plan(cursor->epoch, cursor->step++, first_leaf, num_local_leaves);
      cursor->ready.assign(plans.begin(), plans.end());
    }
    MicroBatchPlan plan = std::move(cursor->ready.front());
    cursor->ready.pop_front();
    return plan;
  };
}

CheckpointTensors Trainee::state() const {
  CheckpointTensors state;
  state.weights = models::state_dict(*model);
  state.optimizer = optimizer->state();
  if (scaler) state.optimizer.merge(scaler->state());
  if (ema) state.ema = ema->state();
  return state;
}

void Trainee::load_state(const CheckpointTensors& state) {
  models::load_state_dict_strict(*model, state.weights);
  TensorMap optimizer_state = state.optimizer;
  if (scaler) scaler->load_state(optimizer_state);
  optimizer->load_state(optimizer_state);
  if (ema) ema->load_state(state.ema);
}

torch::Tensor targets_of(const Batch& batch, Task task, torch::Device device) {
  return host_targets(batch, task).to(device, /*non_blocking=*/true);
}

torch::ScalarType autocast_type(const std::string& precision) {
  return precision == "bf16"   ? torch::kBFloat16
         : precision == "fp16" ? torch::kFloat16
                               : torch::kFloat32;
}

AutocastGuard::AutocastGuard(torch::Device device, torch::ScalarType type)
    : type_(device.type()),
      was_enabled_(at::autocast::is_autocast_enabled(type_)),
      earlier_type_(at::autocast::get_autocast_dtype(type_)) {
  const bool is_enabled = type != torch::kFloat32;
  if (is_enabled) at::autocast::set_autocast_dtype(type_, type);
  at::autocast::set_autocast_enabled(type_, is_enabled);
  at::autocast::increment_nesting();
}

AutocastGuard::~AutocastGuard() {
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(type_, was_enabled_);
  at::autocast::set_autocast_dtype(type_, earlier_type_);
}

}  // namespace podium::trainer
