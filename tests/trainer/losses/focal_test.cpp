// Focal loss beside cases.json: torchvision's numbers by element, logits without bounds, and what
// its row means for masks.
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "trainer/losses/loss.h"
#include "trainer/losses/loss_table.h"
#include "trainer/recipe/class_info.h"

namespace podium::trainer {
namespace {

using data_shards::Task;

std::unique_ptr<Loss> focal(const nlohmann::json& given = {}) {
  return make_loss(part_with_defaults(loss_table().at("focal"), given));
}

// torchvision 0.26.0, ops.sigmoid_focal_loss(x, y, alpha=0.25, gamma=2) in float64; by element:
// 1.1349202365712739e-04 9.370883569680629e-03 4.332169878499658e-02
// 6.915701102563155e-01  9.954800992268465e-03 2.9061804284680104
TEST(Focal, EqualsTorchvision) {
  const torch::Tensor x =
      torch::tensor({{2.5, -1.25, 0.0}, {-3.0, 0.75, 4.0}}, torch::kFloat64).requires_grad_(true);
  const torch::Tensor y = torch::tensor({{1.0, 0.0, 1.0}, {1.0, 1.0, 0.0}}, torch::kFloat64);
  const torch::Tensor value = (*focal())(x, y);
  EXPECT_NEAR(value.item<double>(), 0.6100852356824882, 1e-14);
  value.backward();
  const torch::Tensor gradient =
      torch::tensor({{-5.314937202762048e-05, 0.003808606966547803, -0.012428616464166096},
                     {-0.04694791169312035, -0.0036295692511995265, 0.13579948163560443}},
                    torch::kFloat64);
  EXPECT_LE((x.grad() - gradient).abs().max().item<double>(), 1e-14);

  // The mean over what is labelled.
  torch::Tensor unknown = y.clone();
  unknown[0][1] = -1;
  unknown[1][2] = -1;
  EXPECT_NEAR((*focal())(x, unknown).item<double>(), 0.1862400255143094, 1e-14);
}

TEST(Focal, StaysFiniteForAnyLogit) {
  for (const double gamma : {0.0, 0.5, 2.0}) {
    for (const auto type : {torch::kFloat32, torch::kBFloat16}) {
      torch::Tensor x = torch::tensor({{1e4, -1e4, 1e4, -1e4, 20.0, -20.0}}).to(type);
      x.requires_grad_(true);
      const torch::Tensor y = torch::tensor({{1.0, 1.0, 0.0, 0.0, 1.0, 0.0}});
      const torch::Tensor value = (*focal({{"gamma", gamma}}))(x, y);
      // One positive target and one negative are missed altogether: 1e4 each.
      EXPECT_NEAR(value.item<double>() / ((0.25 + 0.75) * 1e4 / 6), 1, 1e-2);
      value.backward();
      EXPECT_TRUE(torch::isfinite(x.grad()).all().item<bool>()) << gamma;
    }
  }
}

TEST(Focal, NothingLabelledGivesZeroAndNoGradient) {
  torch::Tensor x = torch::tensor({{3.0, -1e4}}).requires_grad_(true);
  const torch::Tensor value = (*focal())(x, torch::full({1, 2}, -1.0));
  EXPECT_EQ(value.item<double>(), 0);
  value.backward();
  EXPECT_EQ(x.grad().abs().max().item<double>(), 0);
}

TEST(Focal, MasksHaveOneLogitAndASigmoid) {
  ClassInfo info;
  info.task = Task::kSegmentation;
  info.classes = {"ground", "building"};
  info.set_loss(loss_table().at("focal"));
  EXPECT_EQ(info.num_logits(), 1);
  EXPECT_EQ(info.activation, Activation::kSigmoid);
  EXPECT_FALSE(loss_table().at("focal").fits(Task::kSegmentation, 3));
  EXPECT_FALSE(loss_table().at("focal").fits(Task::kSingleLabel, 2));
}

}  // namespace
}  // namespace podium::trainer
