// Two networks in one run: each learns as it would alone, and the state of the second is a second
// set of groups that comes back from a checkpoint. The forward pass is the same for all callers.
#include "trainer/step/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "base/error.h"
#include "base/rng.h"
#include "distributed/single_communicator.h"
#include "models/registry.h"
#include "tests/trainer/train_test_util.h"
#include "trainer/losses/loss_table.h"
#include "trainer/optimizers/optimizer_table.h"
#include "trainer/record/checkpoint.h"
#include "trainer/record/state_digest.h"
#include "trainer/schedules/schedule_table.h"
#include "trainer/step/train_loop.h"

namespace podium::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Key;
using testing::TemporaryFolder;

constexpr int64_t kSteps = 4;  // of an epoch

class Nothing : public StepBoundary {
 public:
  StepRequest request() override { return StepRequest::kNone; }
  void after_step(const RunPosition&, const StepFacts& facts) override {
    losses.push_back(facts.loss);
  }
  std::vector<double> losses;
};

struct Training {
  std::unique_ptr<Communicator> communicator = make_single_communicator();
  TrainingRun run;
  RunPosition position;
  std::vector<double> losses;

  // A network for each name; the same name and seed start from the same values.
  explicit Training(const std::vector<std::pair<std::string, uint64_t>>& networks) {
    run.communicator = communicator.get();
    run.settings.logical_workers = 2;
    run.settings.micro_batch_size = 4;
    run.steps_per_epoch = kSteps;
    run.task = data_shards::Task::kSingleLabel;
    run.num_classes = 3;
    run.forward.emplace(torch::Device(torch::kCPU), "fp32", false);
    run.schedule = test_schedule();
    run.loss = test_loss();
    run.objective = std::make_unique<Supervised>(run.loss);
    GradientReducerOptions reducer;
    reducer.logical_workers = 2;
    for (const auto& [name, seed] : networks) {
      Network& network = run.networks.emplace_back();
      network.name = name;
      network.seed = seed;
      models::ModelOptions model;
      model.name = "color_histogram";
      model.num_classes = 3;
      network.model = models::make_model(model, seed);
      network.optimizer = test_optimizer(make_parameter_groups(*network.model, {}));
      network.ema = std::make_unique<Ema>(*network.model, 0.9);
      network.reducer =
          std::make_unique<GradientReducer>(network.model->parameters(), *communicator, reducer);
      network.norms = std::make_unique<NormReducer>(std::vector<models::BatchNorm2dImpl*>{},
                                                    *communicator, reducer);
    }
  }

  static ScheduleOptions test_schedule();
  static std::shared_ptr<const Loss> test_loss();
  static std::unique_ptr<Optimizer> test_optimizer(std::vector<ParameterGroup> groups);

  // The next leaf's images, a function of its number alone.
  static data_shards::Batch batch(int64_t number) {
    torch::manual_seed(static_cast<uint64_t>(1000 + number));
    data_shards::Batch batch;
    batch.keys.resize(4);
    batch.indices = {0, 1, 2, 3};
    batch.images = torch::randn({4, 3, 8, 8});
    batch.class_indices = torch::randint(3, {4}, torch::kInt64);
    return batch;
  }

  void make_epoch() {
    int64_t next = position.epoch * kSteps * 2;
    BatchFeed feed([&] { return std::optional(batch(next++)); }, run.task, torch::kCPU, nullptr);
    Nothing boundary;
    train_one_epoch(run, feed, boundary, position);
    losses = boundary.losses;
    ++position.epoch;
    position.step = 0;
  }
};

ScheduleOptions Training::test_schedule() {
  ScheduleOptions options;
  options.schedule = part_with_defaults(schedule_table().at("constant"));
  options.base_lr = 0.05;
  options.total_steps = 100;
  return options;
}
std::shared_ptr<const Loss> Training::test_loss() {
  return make_loss(part_with_defaults(loss_table().at("cross_entropy")));
}
std::unique_ptr<Optimizer> Training::test_optimizer(std::vector<ParameterGroup> groups) {
  return make_optimizer(part_with_defaults(optimizer_table().at("adam")), std::move(groups));
}

std::string state_text(const TrainingRun& run) { return digest_state(run).state(); }

TEST(TwoNetworks, EachLearnsAsItWouldAlone) {
  Training first({{"", 1}}), second({{"", 2}}), both({{"", 1}, {"peer", 2}});
  for (Training* training : {&first, &second, &both}) training->make_epoch();
  const RunState state = both.run.state();
  EXPECT_EQ(digest_of(state.at("network")), digest_of(first.run.state().at("network")));
  EXPECT_EQ(digest_of(state.at("optimizer")), digest_of(first.run.state().at("optimizer")));
  EXPECT_EQ(digest_of(state.at("peer.network")), digest_of(second.run.state().at("network")));
  EXPECT_EQ(digest_of(state.at("peer.ema")), digest_of(second.run.state().at("ema")));
  EXPECT_NE(digest_of(state.at("peer.network")), digest_of(state.at("network")));
  for (size_t step = 0; step < both.losses.size(); ++step) {
    EXPECT_NEAR(both.losses[step], (first.losses[step] + second.losses[step]) / 2, 1e-12);
  }
}

TEST(TwoNetworks, TheSecondIsASecondSetOfGroupsThatComesBack) {
  Training begun({{"", 1}, {"peer", 2}}), undisturbed({{"", 1}, {"peer", 2}});
  begun.make_epoch();
  EXPECT_THAT(begun.run.state(),
              ElementsAre(Key("ema"), Key("network"), Key("optimizer"), Key("peer.ema"),
                          Key("peer.network"), Key("peer.optimizer")));
  EXPECT_THAT(digest_state(begun.run).groups(),
              ElementsAre(Key("ema"), Key("optimizer"), Key("peer.ema"), Key("peer.optimizer"),
                          Key("peer.weights"), Key("weights")));
  const TemporaryFolder folder;
  save_checkpoint(folder.path(), {}, 7, begun.position, begun.run.state(), {1, {}});

  Training resumed({{"", 8}, {"peer", 9}});
  const auto checkpoint = find_checkpoint(folder.path());
  ASSERT_TRUE(checkpoint);
  resumed.run.load_state(checkpoint->state);
  resumed.position = checkpoint->position;
  ASSERT_EQ(state_text(resumed.run), state_text(begun.run));
  // Nothing inside this model is random, so the seeds above do not matter from here on.
  resumed.make_epoch();
  undisturbed.make_epoch();
  undisturbed.make_epoch();
  EXPECT_EQ(state_text(resumed.run), state_text(undisturbed.run));
}

TEST(TwoNetworks, GroupsThatDoNotFitAreNamed) {
  Training one({{"", 1}}), two({{"", 1}, {"peer", 2}});
  const auto message = [](TrainingRun& run, const RunState& state) -> std::string {
    try {
      run.load_state(state);
    } catch (const DataError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message(one.run, two.run.state()), HasSubstr("\"peer.ema\", which nothing"));
  EXPECT_THAT(message(two.run, one.run.state()), HasSubstr("no group \"peer.network\""));
}

// Tells what a forward pass gave it.
class Recorder : public models::VisionModel {
 public:
  Recorder() : VisionModel(models::ModelOptions{}) {}
  models::ModelOutput forward(const torch::Tensor& images) override {
    is_channels_last = images.is_contiguous(torch::MemoryFormat::ChannelsLast);
    return {at::matmul(images.flatten(1), torch::ones({images[0].numel(), 2})), {}, {}};
  }
  std::vector<std::string> head_prefixes() const override { return {}; }
  std::string first_convolution() const override { return ""; }
  bool is_channels_last = false;
};

TEST(ForwardPass, LaysOutCastsAndWidens) {
  Recorder model;
  const torch::Tensor images = torch::rand({2, 3, 4, 5});
  const torch::Device cpu(torch::kCPU);
  const torch::Tensor plain = ForwardPass(cpu, "fp32", false)(model, images).logits;
  EXPECT_FALSE(model.is_channels_last);
  const torch::Tensor laid_out = ForwardPass(cpu, "fp32", true)(model, images).logits;
  EXPECT_TRUE(model.is_channels_last);
  EXPECT_TRUE(laid_out.equal(plain));
  const torch::Tensor halved = ForwardPass(cpu, "bf16", false)(model, images).logits;
  EXPECT_EQ(halved.scalar_type(), torch::kFloat32);
  EXPECT_TRUE(halved.equal(
      at::matmul(images.flatten(1).to(torch::kBFloat16), torch::ones({60, 2}, torch::kBFloat16))
          .to(torch::kFloat32)));
  EXPECT_FALSE(halved.equal(plain));
}

}  // namespace
}  // namespace podium::trainer
