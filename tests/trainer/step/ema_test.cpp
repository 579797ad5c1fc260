// Proves that averages equal timm 1.0.31's ModelEmaV3 (cases.json, float64, 1e-14), that a double
// swap changes nothing, and that state survives.
#include "trainer/step/ema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "data_optim/cases.h"
#include "models/layers/batch_norm.h"
#include "models/weights/weights.h"

namespace podium::trainer {
namespace {

using testing::cases;

// A batch norm in float64: two parameters, two statistics and a counter.
models::BatchNorm2d make_module(const nlohmann::json& values) {
  models::BatchNorm2d module(3);
  module->to(torch::kFloat64);
  for (auto& [name, tensor] : models::state_dict(*module)) {
    torch::NoGradGuard no_grad;
    torch::Tensor(tensor).copy_(testing::to_tensor(values.at(name), tensor.sizes().vec()));
  }
  return module;
}

void expect_values(const std::map<std::string, torch::Tensor>& found,
                   const nlohmann::json& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (const auto& [name, tensor] : found) {
    const auto value = testing::to_tensor(wanted.at(name), tensor.sizes().vec());
    EXPECT_LE(testing::max_difference(tensor, value), 1e-14) << name;
  }
}

TEST(Ema, EqualsTimmOverFourUpdates) {
  const auto& test = cases().at("ema");
  Ema ema(*make_module(test.at("first")), test.at("decay").get<double>());
  expect_values(ema.state(), test.at("first"));
  for (size_t step = 0; step < 4; ++step) {
    ema.update(*make_module(test.at("weights").at(step)));
    expect_values(ema.state(), test.at("averages").at(step));
  }
}

TEST(Ema, SwapExchangesAndTwiceIsNothing) {
  const auto& test = cases().at("ema");
  auto module = make_module(test.at("first"));
  Ema ema(*module, 0.9);
  auto trained = make_module(test.at("weights").at(0));
  ema.update(*trained);
  ema.swap(*trained);
  expect_values(models::state_dict(*trained), test.at("averages").at(0));
  ema.swap(*trained);
  expect_values(models::state_dict(*trained), test.at("weights").at(0));
  expect_values(ema.state(), test.at("averages").at(0));
}

TEST(Ema, StateSurvivesAndForeignStateIsNamed) {
  const auto& test = cases().at("ema");
  Ema ema(*make_module(test.at("first")), 0.9), other(*make_module(test.at("weights").at(0)), 0.9);
  auto state = ema.state();
  other.load_state(state);
  expect_values(other.state(), test.at("first"));
  state["weight"] = torch::zeros({4});
  try {
    other.load_state(state);
    FAIL() << "no error";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("\"weight\" is of another shape"));
  }
  state.erase("weight");
  EXPECT_THROW(other.load_state(state), DataError);
}

}  // namespace
}  // namespace podium::trainer
