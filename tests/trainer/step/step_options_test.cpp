// Proves for a small model of every family that a training step in bf16 and fp16 gives finite
// gradients and logits near float32's; and that channels-last order changes no more than the order
// of sums, leaves files as they are, and survives a checkpoint to the bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/safetensors_file.h"
#include "models/weights/weights.h"
#include "tests/trainer/family_case.h"
#include "tests/trainer/train_test_util.h"
#include "trainer/recipe/model_setup.h"
#include "trainer/recipe/recipe_schema.h"
#include "trainer/recipe/train_options.h"
#include "trainer/recipe/train_settings.h"
#include "trainer/record/run_directory.h"
#include "trainer/run/train.h"
#include "trainer/step/train_loop.h"

namespace podium::trainer {
namespace {

using torch::Tensor;
using namespace testing;  // NOLINT: the shapes

using Case = FamilyCase;

std::shared_ptr<models::VisionModel> make(const Case& value) {
  models::ModelOptions options;
  options.head = models::choose_head(value.head, {{"drop_rate", 0.0}});
  return testing::make(value, options);
}

Tensor images_of(const Case& value) {
  torch::manual_seed(2);
  return torch::randn({2, 3, value.image_size, value.image_size});
}

// Of the first tensor's largest value.
double relative_difference(const Tensor& a, const Tensor& b) {
  return ((a - b).abs().max() / a.abs().max().clamp_min(1e-12)).item<double>();
}

class HalfPrecision : public ::testing::TestWithParam<Case> {};

TEST_P(HalfPrecision, StepIsFiniteAndNearFloat32) {
  // Shares of the largest logit: about 2^-8 and 2^-11 a product, through 20 to 80 layers.
  const std::vector<std::pair<torch::ScalarType, double>> kTolerances{{torch::kBFloat16, 0.1},
                                                                      {torch::kFloat16, 0.02}};
  const auto model = make(GetParam());
  const Tensor images = images_of(GetParam());
  // Compared in evaluation: batch norms over a few values would magnify each rounding.
  model->eval();
  const Tensor wanted = logits_of(*model, images, torch::kFloat32).detach();
  for (const auto& [type, tolerance] : kTolerances) {
    SCOPED_TRACE(c10::toString(type));
    model->eval();
    const double difference = relative_difference(wanted, logits_of(*model, images, type).detach());
    EXPECT_LT(difference, tolerance);
    EXPECT_GT(difference, 0.0) << "nothing was computed in half precision";
    model->train();
    model->zero_grad();
    const Tensor logits = logits_of(*model, images, type);
    logits.square().mean().backward();
    for (const auto& item : model->named_parameters()) {
      if (!item.value().requires_grad()) continue;
      ASSERT_TRUE(item.value().grad().defined()) << item.key();
      EXPECT_TRUE(item.value().grad().isfinite().all().item<bool>()) << item.key();
      EXPECT_EQ(item.value().grad().scalar_type(), torch::kFloat32) << item.key();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Families, HalfPrecision,
    ::testing::Values(Case{"vit_tiny_patch16_224", 64}, Case{"beit_base_patch16_224", 32},
                      Case{"swinv2_tiny_window8_256", 64}, Case{"swin_tiny_patch4_window7_224", 64},
                      Case{"cvt_13", 64}, Case{"resnet18", 64}, Case{"resnext50_32x4d", 64},
                      Case{"efficientnet_b0", 64}, Case{"tresnet_m", 64}, Case{"fpn_resnet18", 64},
                      Case{"resnet18", 64, "q2l"}, Case{"resnet18", 64, "q2l_simplified"},
                      Case{"resnet18", 64, "ml_decoder"}),
    test_name);
INSTANTIATE_TEST_SUITE_P(Pyramids, HalfPrecision, ::testing::ValuesIn(testing::pyramid_cases()),
                         testing::test_name);

class ChannelsLast : public ::testing::TestWithParam<Case> {};

TEST_P(ChannelsLast, LogitsAndGradientsAreThoseOfThePlainOrder) {
  const auto plain = make(GetParam()), last = make(GetParam());
  TrainSettings settings;
  settings.is_channels_last = true;
  configure_model(settings, *last);
  size_t num_last = 0;
  for (const Tensor& parameter : last->parameters()) {
    if (parameter.dim() != 4) continue;
    EXPECT_TRUE(parameter.is_contiguous(torch::MemoryFormat::ChannelsLast));
    num_last += !parameter.is_contiguous();
  }
  EXPECT_GT(num_last, 0u);
  const auto step = [](models::VisionModel& model, const Tensor& input) {
    torch::manual_seed(5);  // FPN drops channels
    model.zero_grad();
    const Tensor logits = model.forward(input).logits;
    logits.square().mean().backward();
    return logits.detach();
  };
  const Tensor images = images_of(GetParam());
  const auto turned = [](const Tensor& map) {
    return map.contiguous(torch::MemoryFormat::ChannelsLast);
  };
  EXPECT_LT(relative_difference(step(*plain, images), step(*last, turned(images))), 1e-4);
  for (const auto& item : last->named_parameters()) {
    if (!item.value().grad().defined()) continue;
    EXPECT_EQ(item.value().grad().is_contiguous(torch::MemoryFormat::ChannelsLast),
              item.value().is_contiguous(torch::MemoryFormat::ChannelsLast))
        << item.key() << ": fused optimizers walk weight and gradient in one order";
  }
  // In double, because single roundings turn a few ReLUs.
  for (auto* model : {plain.get(), last.get()}) model->to(torch::kFloat64);
  const Tensor doubles = images.to(torch::kFloat64);
  EXPECT_LT(relative_difference(step(*plain, doubles), step(*last, turned(doubles))), 1e-9);
  const auto gradients = plain->named_parameters();
  for (const auto& item : last->named_parameters()) {
    const Tensor& wanted = gradients[item.key()].grad();
    const double scale = wanted.abs().max().item<double>();
    EXPECT_LT((item.value().grad() - wanted).abs().max().item<double>(), 1e-8 * scale + 1e-10)
        << item.key();
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ChannelsLast,
                         ::testing::Values(Case{"resnet18", 64}, Case{"resnext50_32x4d", 64},
                                           Case{"efficientnet_b0", 64}, Case{"tresnet_m", 64},
                                           Case{"cvt_13", 64}, Case{"fpn_resnet18", 64},
                                           Case{"swinv2_tiny_window8_256", 64}),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Pyramids, ChannelsLast, ::testing::ValuesIn(testing::pyramid_cases()),
                         testing::test_name);

TEST(ChannelsLastRun, FilesAreAsInThePlainOrderAndARestartGivesTheSameBits) {
  const TemporaryFolder folder;
  const fs::path data = pack_multi_label(folder.path(), 36);
  make_fold_file(data, 3);
  TrainOptions options = quick_options(
      folder.path(), data,
      quick_recipe("optimizer: {name: adamw, lr: 0.001}\n"
                   "train: {epochs: 1, micro_batch_size: 4, ema_decay: 0.5, clip_grad_norm: 1}\n"
                   "checkpoint: {every_steps: 2, keep: 5}\n"));
  options.overrides = {"model.name=resnet18"};
  train(options);
  const auto plain = models::load_tensors(RunDirectory{options.run_dir}.weights());
  options.overrides.push_back("train.channels_last=true");
  options.run_dir = folder.path() / "last";
  train(options);
  const RunDirectory directory{options.run_dir};
  const auto last = models::load_tensors(directory.weights());
  ASSERT_EQ(last.size(), plain.size());
  for (const auto& [name, tensor] : plain) {
    ASSERT_TRUE(last.contains(name)) << name;
    EXPECT_EQ(last.at(name).sizes(), tensor.sizes()) << name;
  }
  const double plain_loss = read_lines(folder.path() / "run" / "metrics.jsonl")[0]["loss"];
  const double last_loss = read_lines(directory.metrics())[0]["loss"];
  EXPECT_NEAR(last_loss, plain_loss, 1e-4);

  const std::string finished = read_file(directory.weights());
  fs::remove(directory.root / "DONE");
  fs::remove(directory.weights());
  std::vector<std::string> steps = names_in(directory.checkpoints());
  ASSERT_GE(steps.size(), 2u);
  for (size_t i = 1; i < steps.size(); ++i) fs::remove_all(directory.checkpoints() / steps[i]);
  train(options);
  EXPECT_EQ(read_file(directory.weights()), finished);
}

}  // namespace
}  // namespace podium::trainer
