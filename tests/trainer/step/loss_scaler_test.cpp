// The loss scale: exact both ways, one decision per step, state in checkpoints. Expected moves
// follow torch.amp.GradScaler's documented rule (growth 2 after an interval, backoff 0.5).
#include "trainer/step/loss_scaler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <limits>

#include "base/error.h"

namespace podium::trainer {
namespace {

struct Parameter {
  torch::Tensor tensor = torch::zeros({2}, torch::requires_grad());
  std::vector<ParameterGroup> groups;
  Parameter() {
    ParameterGroup group;
    group.parameters = {tensor, torch::zeros({3}, torch::requires_grad())};  // one unused
    groups = {group};
  }
  void set_gradient(const torch::Tensor& gradient) { tensor.mutable_grad() = gradient; }
};

TEST(LossScaler, ScalesAndUnscalesWithoutALostBit) {
  LossScaler scaler(torch::kCPU);
  EXPECT_EQ(scaler.current(), 65536);
  Parameter parameter;
  const torch::Tensor gradient = torch::tensor({0.1f, -3e-12f});
  EXPECT_EQ(scaler.scale(torch::tensor(0.25f)).item<float>(), 16384.0f);
  parameter.set_gradient(gradient * 65536);
  EXPECT_TRUE(scaler.unscale(parameter.groups));
  EXPECT_TRUE(torch::equal(parameter.tensor.grad(), gradient));
}

TEST(LossScaler, OverflowLeavesTheStepOutAndHalvesTheScale) {
  LossScaler scaler(torch::kCPU);
  Parameter parameter;
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    parameter.set_gradient(torch::tensor({1.0f, bad}));
    EXPECT_FALSE(scaler.unscale(parameter.groups));
  }
  EXPECT_EQ(scaler.current(), 16384);
}

TEST(LossScaler, GrowsAfterAnIntervalAndGoesOnFromItsState) {
  const LossScalerOptions options = {.initial_scale = 8, .growth_interval = 3};
  Parameter parameter;
  LossScaler first(torch::kCPU, options);
  for (int i = 0; i < 2; ++i) {
    parameter.set_gradient(torch::ones({2}));
    first.unscale(parameter.groups);
  }
  EXPECT_EQ(first.current(), 8);
  LossScaler second(torch::kCPU, options);
  auto state = first.state();
  second.load_state(state);
  parameter.set_gradient(torch::ones({2}));
  second.unscale(parameter.groups);
  EXPECT_EQ(second.current(), 16);
  const auto message = [&]() -> std::string {
    try {
      second.load_state(state);
    } catch (const DataError& error) {
      return error.what();
    }
    return "no error";
  };
  state["exp_avg.weight"] = torch::ones({1});
  EXPECT_THAT(message(), ::testing::HasSubstr("\"exp_avg.weight\", which nothing here is called"));
  state.erase("exp_avg.weight");
  state.erase("loss_scale.growth_tracker");
  EXPECT_THAT(message(), ::testing::HasSubstr("\"loss_scale.growth_tracker\" is missing"));
}

}  // namespace
}  // namespace podium::trainer
