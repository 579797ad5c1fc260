// Proves that convolutional backbones and attached heads compute what their public definitions
// compute, with equal weights. Expected values: make_conv_parity.py, by torch 2.11.0, timm 1.0.31,
// transformers 5.23.0 (CvT) and head_references.py in float64. Tolerances: float64 1e-9 of the
// tensor's largest value, 1e-8 for gradients through batch statistics; float32 1e-5 (ten times the
// noise of the definitions themselves).
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

#include "models/heads/head_table.h"
#include "models/layers/batch_norm.h"
#include "models/registry.h"
#include "models/weights/weights.h"
#include "parameter_rule.h"
#include "parity_fixture.h"

namespace podium::models {
namespace {

using testing::gradients_of;
using testing::kDoubleTolerance;
using testing::sample;

constexpr double kTrainingTolerance = 1e-8;
constexpr double kFloatTolerance = 1e-5;

const testing::ParityFixture& expected() {
  static const testing::ParityFixture kExpected("conv_parity.safetensors");
  return kExpected;
}

void expect_near(const torch::Tensor& found, const std::string& key, double tolerance) {
  expected().expect_near(found, key, tolerance);
}

// As cases() in make_conv_parity.py.
struct Case {
  std::string name;
  int64_t height, width = 0;  // px; width 0: square
  int64_t in_channels = 3, num_classes = 7;
  std::string note = "";
  std::string head = "linear";
  bool has_training = false;
  int64_t head_dim = 0, num_queries = 0;

  std::string key() const {
    std::string text = fmt::format("{}.c{}.s{}", name, in_channels, height);
    if (width > 0) text += fmt::format("x{}", width);
    return text + fmt::format(".k{}", num_classes) + (note.empty() ? "" : "." + note);
  }
  torch::Tensor images() const {
    return testing::images_by_rule(in_channels, height, width > 0 ? width : height);
  }
};

void PrintTo(const Case& test, std::ostream* stream) { *stream << test.key(); }

std::shared_ptr<VisionModel> make(const Case& test) {
  ModelOptions options;
  options.name = test.name;
  options.num_classes = test.num_classes;
  options.in_channels = test.in_channels;
  options.image_size = std::max(test.height, test.width);
  options.head = choose_head(
      test.head, {{"dim", test.head_dim}, {"queries", test.num_queries}, {"drop_rate", 0.0}});
  if (test.note.starts_with("transformers")) options.naming = "transformers";
  if (test.note == "official") options.naming = "official";
  return make_model(options, 1);
}

void fill(VisionModel& model) {
  const StateDict state = state_dict(model);
  const auto positions = state.find("backbone.1.pe");
  const torch::Tensor kept = positions == state.end() ? torch::Tensor() : positions->second.clone();
  testing::fill_by_rule(model);
  if (kept.defined()) positions->second.copy_(kept);
}

class ConvParity : public ::testing::TestWithParam<Case> {};

TEST_P(ConvParity, EqualsTheReference) {
  const Case& test = GetParam();
  auto model = make(test);
  ASSERT_TRUE(torch::equal(testing::names_of(*model), expected().at(test.key() + ".names")))
      << "names or shapes differ; make_conv_parity.py --names " << test.key() << " prints them";
  model->to(torch::kFloat64);
  fill(*model);
  model->eval();
  const ModelOutput output = model->forward(test.images());
  expect_near(output.logits, test.key() + ".logits", kDoubleTolerance);
  expect_near(sample(output.features, 32), test.key() + ".features", kDoubleTolerance);
  expect_near(sample(output.unpooled, 32), test.key() + ".unpooled", kDoubleTolerance);
  expected().expect_gradients(gradients_of(*model, output.logits), test.key(), kDoubleTolerance);
  model->zero_grad();

  if (test.has_training) {
    model->train();
    const std::string key = test.key() + ".train";
    const ModelOutput trained = model->forward(test.images());
    expect_near(trained.logits, key + ".logits", kTrainingTolerance);
    expected().expect_gradients(gradients_of(*model, trained.logits), key, kTrainingTolerance);
    for (BatchNorm2dImpl* norm : find_batch_norms(*model)) {
      norm->update_running(norm->take_statistics());
    }
    std::vector<torch::Tensor> running;
    for (const auto& [name, tensor] : state_dict(*model)) {
      if (name.find("running_") != std::string::npos) running.push_back(tensor.norm());
    }
    expect_near(torch::stack(running), key + ".running", kDoubleTolerance);
    return;
  }
  torch::NoGradGuard no_grad;
  model->to(torch::kFloat32);
  expect_near(model->forward(test.images().to(torch::kFloat32)).logits, test.key() + ".logits",
              kFloatTolerance);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* head : {"ml_decoder", "learnable_ml_decoder", "q2l", "q2l_simplified"}) {
    all.push_back({.name = "resnet18", .height = 64, .note = head, .head = head});
  }
  all.push_back({.name = "resnet18",
                 .height = 64,
                 .width = 96,
                 .in_channels = 1,
                 .num_classes = 10,
                 .note = "groups4",
                 .head = "ml_decoder",
                 .num_queries = 4});
  all.push_back({.name = "resnet18",
                 .height = 64,
                 .width = 96,
                 .note = "q2l128",
                 .head = "q2l",
                 .head_dim = 128});
  const std::vector<Case> backbones{
      {"cvt_13", 64, 0, 3, 7, "", "linear", true},
      {"cvt_13", 80, 64, 1, 5, "transformers"},
      {"cvt_13", 64, 0, 3, 7, "q2l", "q2l"},
      {"cvt_13", 64, 0, 3, 7, "transformers_q2l", "q2l_simplified"},
      {"cvt_21", 48},
      {"cvt_w24", 32},
      {"tresnet_m", 64, 0, 3, 7, "", "linear", true},
      {"tresnet_m", 64, 96, 1, 5},
      {"tresnet_m", 64, 0, 3, 7, "ml_decoder", "ml_decoder"},
      {"tresnet_l", 64},
      {"tresnet_xl", 64},
      {"tresnet_v2_l", 64, 0, 3, 7, "", "linear", true},
      {"tresnet_v2_l", 64, 0, 3, 7, "official"},
      {"resnext50_32x4d", 64, 0, 3, 7, "", "linear", true},
      {"resnet101", 64},
      {"resnext101_32x8d", 64, 96, 4, 5},
      {"resnext101_32x16d", 32},
      {"efficientnet_b0", 64, 0, 3, 7, "", "linear", true},
      {"efficientnet_b1", 64},
      {"efficientnet_b2", 64},
      {"efficientnet_b3", 64},
      {"efficientnet_b4", 64},
      {"efficientnet_b5", 64},
      {"efficientnet_b6", 32},
      {"efficientnet_b7", 32},
      {"efficientnet_b0", 72, 50, 2, 5},
      {"efficientnet_b0", 64, 0, 3, 7, "learnable_ml_decoder", "learnable_ml_decoder"},
      {"tf_efficientnet_b0", 64, 50},
      {"tf_efficientnet_b6", 32}};
  all.insert(all.end(), backbones.begin(), backbones.end());
  return all;
}

INSTANTIATE_TEST_SUITE_P(Models, ConvParity, ::testing::ValuesIn(cases()),
                         [](const auto& instance) {
                           std::string name = instance.param.key();
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace podium::models
