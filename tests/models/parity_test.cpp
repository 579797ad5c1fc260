// Proves that models compute what their public Python definitions compute, with equal weights.
// Expected values: make_parity.py, by torch 2.11.0, torchvision 0.26.0, timm 1.0.31 and
// segmentation_models_pytorch 0.6.0 in float64. Tolerances: float64 1e-9 of the tensor's largest
// value, float32 1e-4 (the definitions' own float32 noise is about 1e-5).
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <ostream>

#include "models/layers/batch_norm.h"
#include "models/registry.h"
#include "models/weights/weights.h"
#include "parameter_rule.h"
#include "parity_fixture.h"

namespace podium::models {
namespace {

using testing::fill_by_rule;
using testing::images_by_rule;
using testing::kDoubleTolerance;
using testing::uniform_by_name;

constexpr double kFloatTolerance = 1e-4;

const testing::ParityFixture& expected() {
  static const testing::ParityFixture kExpected("parity.safetensors");
  return kExpected;
}

void expect_near(const torch::Tensor& found, const std::string& key, double tolerance) {
  expected().expect_near(found, key, tolerance);
}

// "resnet18.c3.s64"
struct Case {
  std::string name;
  int64_t in_channels, size;
  std::string key() const {
    return name + ".c" + std::to_string(in_channels) + ".s" + std::to_string(size);
  }
};

void PrintTo(const Case& test, std::ostream* stream) { *stream << test.key(); }

std::shared_ptr<VisionModel> make(const Case& test) {
  ModelOptions options;
  options.name = test.name;
  options.num_classes = 7;
  options.in_channels = test.in_channels;
  auto model = make_model(options, 1);
  model->to(torch::kFloat64);
  fill_by_rule(*model);
  return model;
}

torch::Tensor thin(const torch::Tensor& map, int64_t step) {
  if (map.dim() < 4) return map;
  return map.slice(2, 0, c10::nullopt, step).slice(3, 0, c10::nullopt, step);
}

// L2 norms of the gradients of sum(logits * cotangent), in order of registration.
torch::Tensor gradient_norms(VisionModel& model, const torch::Tensor& logits) {
  const torch::Tensor cotangent = uniform_by_name("cotangent", logits.numel()) * 2 - 1;
  (logits * cotangent.reshape(logits.sizes())).sum().backward();
  std::vector<torch::Tensor> norms;
  for (const auto& parameter : model.parameters()) norms.push_back(parameter.grad().norm());
  return torch::stack(norms);
}

class Parity : public ::testing::TestWithParam<Case> {};

TEST_P(Parity, LogitsFeaturesAndGradientsEqualTheReference) {
  const Case& test = GetParam();
  auto model = make(test);
  model->eval();
  const torch::Tensor images = images_by_rule(test.in_channels, test.size);
  const ModelOutput output = model->forward(images);
  expect_near(thin(output.logits, 16), test.key() + ".logits", kDoubleTolerance);
  expect_near(thin(output.features, 8).slice(1, 0, c10::nullopt, 16), test.key() + ".features",
              kDoubleTolerance);
  expect_near(gradient_norms(*model, output.logits), test.key() + ".grad_norms", kDoubleTolerance);
  const std::string prefix = test.key() + ".grad.";
  int num_slices = 0;
  for (const auto& item : model->named_parameters()) {
    if (!expected().contains(prefix + item.key())) continue;
    ++num_slices;
    expect_near(item.value().grad().flatten().slice(0, 0, 16), prefix + item.key(),
                kDoubleTolerance);
  }
  EXPECT_EQ(num_slices, 3);

  torch::NoGradGuard no_grad;
  model->to(torch::kFloat32);
  expect_near(thin(model->forward(images.to(torch::kFloat32)).logits, 16), test.key() + ".logits",
              kFloatTolerance);
}

INSTANTIATE_TEST_SUITE_P(Models, Parity,
                         ::testing::Values(Case{"resnet18", 3, 64}, Case{"resnet18", 3, 96},
                                           Case{"resnet18", 1, 64}, Case{"resnet34", 3, 64},
                                           Case{"resnet50", 3, 64}, Case{"resnet50", 3, 96},
                                           Case{"fpn_resnet18", 3, 64}, Case{"fpn_resnet18", 3, 96},
                                           Case{"fpn_resnet18", 1, 64}, Case{"fpn_resnet34", 3, 64},
                                           Case{"fpn_resnet50", 3, 64}),
                         [](const auto& instance) {
                           return instance.param.name + "_c" +
                                  std::to_string(instance.param.in_channels) + "_s" +
                                  std::to_string(instance.param.size);
                         });

class TrainingParity : public ::testing::TestWithParam<Case> {};

// Batch statistics, their gradients, and the running statistics after one step with one leaf.
TEST_P(TrainingParity, BatchStatisticsEqualTheReference) {
  const Case& test = GetParam();
  auto model = make(test);
  model->train();
  const auto norms = find_batch_norms(*model);
  ModelOutput output;
  if (test.name.starts_with("fpn")) {
    // The reference ran without channel dropout: batch statistics in the encoder alone.
    model->eval();
    model->backbone().train();
  }
  output = model->forward(images_by_rule(test.in_channels, test.size));
  const std::string key = test.key() + ".train";
  expect_near(thin(output.logits, 16), key + ".logits", kDoubleTolerance);
  expect_near(gradient_norms(*model, output.logits), key + ".grad_norms", 1e-8);
  std::vector<torch::Tensor> running;
  for (BatchNorm2dImpl* norm : norms) {
    norm->update_running(norm->take_statistics());
    running.push_back(norm->running_mean.norm());
    running.push_back(norm->running_var.norm());
    EXPECT_EQ(norm->num_batches_tracked.item<int64_t>(), 1);
  }
  expect_near(torch::stack(running), key + ".running", kDoubleTolerance);
  expect_near(torch::stack({norms[0]->running_mean, norms[0]->running_var}), key + ".bn1",
              kDoubleTolerance);
}

INSTANTIATE_TEST_SUITE_P(Models, TrainingParity,
                         ::testing::Values(Case{"resnet18", 3, 64}, Case{"resnet50", 3, 64},
                                           Case{"fpn_resnet18", 3, 64}),
                         [](const auto& instance) { return instance.param.name; });

class KeyParity : public ::testing::TestWithParam<std::string> {};

TEST_P(KeyParity, NamesAndShapesAreTheReferences) {
  std::set<std::string> wanted;
  std::ifstream file(std::filesystem::path(PODIUM_TEST_DATA) / "keys.txt");
  for (std::string line; std::getline(file, line);) {
    const std::string prefix = GetParam() + " ";
    if (line.starts_with(prefix)) wanted.insert(line.substr(prefix.size()));
  }
  ModelOptions options;
  options.name = GetParam();
  options.num_classes = 7;
  const std::set<std::string> found = testing::name_lines(state_dict(*make_model(options, 1)));
  EXPECT_GT(wanted.size(), 100u);
  EXPECT_THAT(found, ::testing::ContainerEq(wanted));
}

INSTANTIATE_TEST_SUITE_P(Models, KeyParity,
                         ::testing::Values("resnet18", "resnet34", "resnet50", "fpn_resnet18",
                                           "fpn_resnet34", "fpn_resnet50"),
                         [](const auto& instance) { return instance.param; });

// timm adapts a weight of 3 channels to 1, 2, 4 and 7 channels; ours goes through load_state_dict.
class AdaptParity : public ::testing::TestWithParam<int64_t> {};

TEST_P(AdaptParity, FirstConvolutionIsAdaptedAsInTimm) {
  ModelOptions options;
  options.name = "resnet18";
  const auto published = make_model(options, 1);
  StateDict weights = state_dict(*published);
  torch::Tensor weight = testing::value_by_rule("w", {2, 3, 3, 3}).to(torch::kFloat32);
  weights["conv1.weight"] = weight.repeat({32, 1, 3, 3}).slice(2, 0, 7).slice(3, 0, 7);
  options.in_channels = GetParam();
  auto model = make_model(options, 2);
  const LoadReport report = load_state_dict(*model, weights);
  EXPECT_EQ(report.is_first_convolution_adapted, GetParam() != 3);
  const torch::Tensor loaded = state_dict(*model).at("conv1.weight").detach();
  expect_near(loaded.slice(0, 0, 2).slice(2, 0, 3).slice(3, 0, 3),
              "timm.adapt." + std::to_string(GetParam()), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Channels, AdaptParity, ::testing::Values(1, 2, 3, 4, 7),
                         [](const auto& instance) { return "c" + std::to_string(instance.param); });

}  // namespace
}  // namespace podium::models
