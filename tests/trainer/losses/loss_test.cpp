// Proves that losses and their gradients equal torch 2.11.0, torchvision 0.26.0, timm 1.0.31 and
// segmentation_models_pytorch 0.6.0 (cases.json, float64, 1e-12), that gradients agree with finite
// differences, and that wrong shapes are refused.
#include "trainer/losses/loss.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "data_optim/cases.h"
#include "trainer/losses/loss_table.h"

namespace podium::trainer {
namespace {

using testing::cases;
using ::testing::HasSubstr;
using testing::max_difference;
using testing::to_tensor;

PartSpec loss_of(const std::string& name, const nlohmann::json& given = {}) {
  return part_with_defaults(loss_table().at(name), given);
}

PartSpec loss_of_case(const nlohmann::json& test) {
  return loss_of(test.at("name"), test.at("options"));
}

// Class indices and masks are int64; multi-label vectors have the logits' shape.
torch::Tensor targets_of(const nlohmann::json& test) {
  const torch::Tensor targets = to_tensor(test.at("targets"));
  const bool is_vector = test.at("logits").at("shape") == test.at("targets").at("shape");
  return is_vector ? targets : targets.to(torch::kInt64);
}

TEST(Loss, ValuesAndGradientsEqualTheReferences) {
  std::set<std::string> seen;
  for (const nlohmann::json& test : cases().at("losses")) {
    SCOPED_TRACE(test.at("name").get<std::string>() + test.at("options").dump());
    seen.insert(test.at("name").get<std::string>());
    torch::Tensor logits = to_tensor(test.at("logits")).requires_grad_(true);
    const torch::Tensor value = (*make_loss(loss_of_case(test)))(logits, targets_of(test));
    EXPECT_EQ(value.dim(), 0);
    EXPECT_NEAR(value.item<double>(), test.at("value").get<double>(), 1e-12);
    value.backward();
    const torch::Tensor gradient = to_tensor(test.at("grad"), logits.sizes().vec());
    EXPECT_LE(max_difference(logits.grad(), gradient), 1e-12);
  }
  const auto all = loss_table().names();
  EXPECT_THAT(seen, ::testing::ContainerEq(std::set<std::string>(all.begin(), all.end())));
}

TEST(Loss, GradientsAgreeWithFiniteDifferences) {
  constexpr double kStep = 1e-6;
  for (const nlohmann::json& test : cases().at("losses")) {
    SCOPED_TRACE(test.at("name").get<std::string>() + test.at("options").dump());
    const auto loss = make_loss(loss_of_case(test));
    torch::Tensor logits = to_tensor(test.at("logits")).requires_grad_(true);
    const torch::Tensor targets = targets_of(test);
    (*loss)(logits, targets).backward();
    torch::NoGradGuard no_grad;
    for (int64_t i = 0; i < logits.numel(); ++i) {
      const auto value_at = [&](double shift) {
        torch::Tensor moved = logits.detach().clone();
        moved.view({-1})[i] += shift;
        return (*loss)(moved, targets).item<double>();
      };
      const double difference = (value_at(kStep) - value_at(-kStep)) / (2 * kStep);
      EXPECT_NEAR(logits.grad().view({-1})[i].item<double>(), difference, 1e-8) << i;
    }
  }
}

TEST(Loss, HalfPrecisionLogitsAreSummedInFloat32) {
  const torch::Tensor logits = torch::linspace(-3, 3, 20).reshape({4, 5}).to(torch::kBFloat16);
  const torch::Tensor targets = torch::ones({4, 5});
  const torch::Tensor half = (*make_loss(loss_of("bce")))(logits, targets);
  EXPECT_EQ(half.scalar_type(), torch::kFloat32);
  EXPECT_EQ(half.item<float>(),
            (*make_loss(loss_of("bce")))(logits.to(torch::kFloat32), targets).item<float>());
}

TEST(Loss, NothingLabelledGivesZeroAndNoGradient) {
  struct Empty {
    std::string name;
    torch::Tensor logits, targets;
  };
  const auto ignored = torch::full({2, 4, 4}, 255, torch::dtype(torch::kInt64));
  const std::vector<Empty> empties{
      {"bce", torch::randn({2, 3}), torch::full({2, 3}, -1.0)},
      {"bce", torch::randn({2, 1, 4, 4}), ignored},
      {"cross_entropy", torch::randn({2, 3, 4, 4}), ignored},
      {"cross_entropy", torch::randn({2, 3}), torch::full({2}, -1, torch::dtype(torch::kInt64))},
      {"iou_cross_entropy", torch::randn({2, 3, 4, 4}), ignored}};
  for (const Empty& test : empties) {
    SCOPED_TRACE(test.name);
    torch::Tensor logits = test.logits.clone().requires_grad_(true);
    const torch::Tensor value = (*make_loss(loss_of(test.name)))(logits, test.targets);
    EXPECT_EQ(value.item<double>(), 0);
    value.backward();
    EXPECT_EQ(logits.grad().abs().max().item<double>(), 0);
  }
}

// By hand: softmax is (1/4, 3/4), so the loss is that distribution's entropy.
TEST(Loss, CrossEntropyTakesSoftTargets) {
  const auto cross_entropy = make_loss(loss_of("cross_entropy"));
  const torch::Tensor logits = torch::tensor({{0.0, std::log(3.0)}}, torch::kFloat64);
  const torch::Tensor soft = torch::tensor({{0.25, 0.75}}, torch::kFloat64);
  EXPECT_NEAR((*cross_entropy)(logits, soft).item<double>(), 0.562335144618808, 1e-12);
  // One-hot targets are class indices, smoothing included.
  const auto smoothed = make_loss(loss_of("cross_entropy", {{"label_smoothing", 0.1}}));
  const torch::Tensor more = torch::linspace(-2, 3, 20, torch::kFloat64).reshape({4, 5});
  const torch::Tensor indices = torch::tensor({1, 4, 0, 2});
  const torch::Tensor vectors = torch::eye(5, torch::kFloat64).index_select(0, indices);
  EXPECT_NEAR((*smoothed)(more, vectors).item<double>(), (*smoothed)(more, indices).item<double>(),
              1e-12);
}

TEST(Loss, WrongShapesAreNamed) {
  for (const std::string& name : loss_table().names()) {
    try {
      (*make_loss(loss_of(name)))(torch::zeros({2, 3, 4}), torch::zeros({2, 7}));
      FAIL() << name;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr("loss " + name));
      EXPECT_THAT(error.what(), HasSubstr("(2, 3, 4)"));
      EXPECT_THAT(error.what(), HasSubstr("(2, 7)"));
    }
  }
}

TEST(Loss, UnknownNameNamesTheNearest) {
  try {
    make_loss({"cross_entrop", {}});
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean \"cross_entropy\""));
  }
}

}  // namespace
}  // namespace podium::trainer
