// One epoch: for each step, this rank's leaves one after another, the reduction, the check, the
// update.
#include "trainer/step/train_loop.h"

#include <fmt/format.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/rng.h"
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

// Mean over the leaves (of each, the networks' in turn), summed in leaf order: the same bits for
// any number of ranks.
double mean_loss(const std::vector<double>& losses, const RunPosition& position,
                 size_t num_networks) {
  double sum = 0;
  for (size_t i = 0; i < losses.size(); ++i) {
    if (!std::isfinite(losses[i])) {
      throw DivergedError(fmt::format(
          "the loss is {} in epoch {}, step {} (logical batch {} of {}); lower optimizer.lr, add a "
          "warm-up, or set train.clip_grad_norm",
          losses[i], position.epoch + 1, position.global_step + 1, i / num_networks,
          losses.size() / num_networks));
    }
    sum += losses[i];
  }
  return sum / static_cast<double>(losses.size());
}

// Images and targets, mixed where the recipe says so. `leaf`: of all ranks.
data_shards::Mixed network_input(const TrainingRun& run, const DeviceBatch& batch,
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

// Loss scales below this do not come from a few overflows.
constexpr double kMinLossScale = 1.0 / 65536;

// One update from the reduced gradient; in fp16 it is left out when that one is not finite. Returns
// the gradient's norm.
double update(Network& network, const TrainSettings& settings, const StepFacts& facts,
              const RunPosition& position) {
  const bool is_applied = !network.scaler || network.scaler->unscale(network.optimizer->groups());
  double norm = std::numeric_limits<double>::infinity();
  if (is_applied) {
    norm = clip_grad_norm(network.optimizer->groups(), settings.clip_grad_norm);
    if (!std::isfinite(norm)) {
      throw DivergedError(
          fmt::format("the gradient norm is {} in epoch {}, step {} (loss {}); lower "
                      "optimizer.lr, or set train.precision: fp32",
                      norm, position.epoch + 1, position.global_step + 1, facts.loss));
    }
    network.optimizer->step(facts.lr);
    if (network.ema) network.ema->update(*network.model);
  } else if (network.scaler->current() < kMinLossScale) {
    throw DivergedError(fmt::format(
        "the loss scale fell to {} in epoch {}, step {} (loss {}): gradients overflow at every "
        "scale; lower optimizer.lr, or set train.precision: bf16 or fp32",
        network.scaler->current(), position.epoch + 1, position.global_step + 1, facts.loss));
  }
  network.optimizer->zero_grad();
  return norm;
}

// Forward and backward of one leaf. Returns the loss, without its graph.
torch::Tensor train_leaf(const TrainingRun& run, Network& network, const data_shards::Mixed& input,
                         int64_t leaf, uint64_t step) {
  const auto global_leaf = static_cast<uint64_t>(network.reducer->first_leaf() + leaf);
  torch::manual_seed(derive_seed(network.seed, RandomPurpose::kDropout, step, global_leaf));
  network.reducer->begin_leaf(leaf);
  const torch::Tensor loss =
      (*run.objective)((*run.forward)(*network.model, input.images), input.targets);
  network.norms->collect();
  (network.scaler ? network.scaler->scale(loss) : loss).backward();
  return loss.detach();
}

}  // namespace

void train_one_epoch(TrainingRun& run, BatchFeed& feed, StepBoundary& boundary,
                     RunPosition& position) {
  for (Network& network : run.networks) network.model->train();
  const GradientReducer& leaves = *run.network().reducer;
  while (position.step < run.steps_per_epoch) {
    const auto step = static_cast<uint64_t>(position.global_step);
    std::vector<torch::Tensor> losses;
    for (Network& network : run.networks) network.reducer->begin_step();
    for (int64_t leaf = 0; leaf < leaves.num_local_leaves(); ++leaf) {
      const DeviceBatch batch = feed.next();
      const data_shards::Mixed input =
          network_input(run, batch, position, static_cast<uint64_t>(leaves.first_leaf() + leaf));
      for (Network& network : run.networks) {
        losses.push_back(train_leaf(run, network, input, leaf, step));
        if (&network == &run.networks.back()) feed.prefetch();
        network.reducer->end_leaf();
      }
    }
    for (Network& network : run.networks) {
      network.reducer->finish_step();
      network.norms->finish();
    }

    const Exchange all = exchange(*run.communicator, std::move(losses), boundary.request());
    StepFacts facts;
    facts.loss = mean_loss(all.losses, position, run.networks.size());
    facts.request = all.request;
    facts.lr = learning_rate(run.schedule, position.global_step);
    for (Network& network : run.networks) {
      facts.grad_norm = std::max(facts.grad_norm, update(network, run.settings, facts, position));
    }
    ++position.step;
    ++position.global_step;
    position.epoch_loss_sum += facts.loss;
    boundary.after_step(position, facts);
  }
}

data_shards::PlanStream plan_training(std::shared_ptr<const data_shards::TrainSampler> sampler,
                                      const RunPosition& position, int64_t epochs,
                                      int64_t first_leaf, int64_t num_local_leaves) {
  return data_shards::stream_plans(
      [=, epoch = position.epoch,
       step = position.step]() mutable -> std::optional<std::vector<MicroBatchPlan>> {
        if (step >= sampler->steps_per_epoch()) {
          ++epoch;
          step = 0;
        }
        if (epoch >= epochs) return std::nullopt;
        return sampler->plan(epoch, step++, first_leaf, num_local_leaves);
      });
}

RunState TrainingRun::state() const {
  RunState state;
  for (const Network& network : networks) network.add_state(state);
  return state;
}

void TrainingRun::load_state(const RunState& state) {
  const RunState own = this->state();
  for (const auto& [group, tensors] : state) {
    if (own.contains(group)) continue;
    throw DataError(
        fmt::format("the checkpoint has a group \"{}\", which nothing in this run has; it was "
                    "written by another kind of run",
                    group));
  }
  for (Network& network : networks) network.load_state(state);
}

torch::Tensor targets_of(const Batch& batch, Task task, torch::Device device) {
  return host_targets(batch, task).to(device, /*non_blocking=*/true);
}

}  // namespace podium::trainer
