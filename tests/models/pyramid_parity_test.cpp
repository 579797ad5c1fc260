// Proves that the feature pyramids of all families of backbones, the simple pyramid of plain
// transformers and the FPN head on them compute what their public definitions compute, with equal
// weights, and hold no parameter that nothing reads. Expected values: make_pyramid_parity.py, by
// torch 2.11.0, timm 1.0.31, transformers 5.23.0 (CvT) and segmentation_models_pytorch 0.6.0 in
// float64. Tolerances: float64 1e-9 of the tensor's largest value; float32 1e-5 (ten times the
// definitions' own float32 noise) and 3e-5 where it is larger (CvT, Swin-v2).
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

#include "base/error.h"
#include "models/heads/head_table.h"
#include "models/registry.h"
#include "models/weights/weights.h"
#include "parameter_rule.h"
#include "parity_fixture.h"
#include "tests/message_of.h"

namespace podium::models {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kDoubleTolerance;
using testing::sample;

const testing::ParityFixture& expected() {
  static const testing::ParityFixture kExpected("pyramid_parity.safetensors");
  return kExpected;
}

// As cases() in make_pyramid_parity.py.
struct Case {
  std::string name;
  int64_t height, width = 0;  // px; width 0: square
  int64_t in_channels = 3, num_classes = 7;
  double float_tolerance = 1e-5;

  std::string key() const {
    std::string text = fmt::format("{}.c{}.s{}", name, in_channels, height);
    if (width > 0) text += fmt::format("x{}", width);
    return text + fmt::format(".k{}", num_classes);
  }
  torch::Tensor images() const {
    return testing::images_by_rule(in_channels, height, width > 0 ? width : height);
  }
  // Swin-v1's windows and BEiT's tables are made for a size.
  bool has_fixed_size() const { return name.starts_with("swin_") || name.starts_with("beit"); }
};
void PrintTo(const Case& test, std::ostream* stream) { *stream << test.key(); }

std::shared_ptr<VisionModel> make(const Case& test) {
  ModelOptions options;
  options.name = test.name;
  options.head.name = "fpn";
  options.num_classes = test.num_classes;
  options.in_channels = test.in_channels;
  if (test.has_fixed_size()) options.image_size = test.height;
  return make_uninitialised_model(options);
}

class PyramidParity : public ::testing::TestWithParam<Case> {};

TEST_P(PyramidParity, EqualsTheReference) {
  const Case& test = GetParam();
  const std::string key = test.key();
  auto model = make(test);
  ASSERT_TRUE(torch::equal(testing::names_of(*model), expected().at(key + ".names")))
      << "names or shapes differ:\n"
      << fmt::format("{}", fmt::join(testing::name_lines(state_dict(*model)), "\n"));
  model->to(torch::kFloat64);
  testing::fill_by_rule(*model);
  model->eval();
  {
    const torch::NoGradGuard no_grad;
    const std::vector<torch::Tensor> maps = model->forward_pyramid(test.images());
    const std::vector<int64_t> channels = model->pyramid_channels();
    std::vector<torch::Tensor> samples;
    for (size_t i = 0; i < maps.size(); ++i) {
      const torch::Tensor shape = torch::tensor(maps[i].sizes().slice(1), torch::kInt64);
      EXPECT_TRUE(torch::equal(shape, expected().at(key + ".shapes")[static_cast<int64_t>(i)]));
      EXPECT_EQ(maps[i].size(1), channels[i]);
      samples.push_back(sample(maps[i], 32));
    }
    expected().expect_near(torch::stack(samples), key + ".maps", kDoubleTolerance);
  }
  const ModelOutput output = model->forward(test.images());
  expected().expect_near(sample(output.logits, 128), key + ".logits", kDoubleTolerance);
  expected().expect_near(sample(output.features, 64), key + ".features", kDoubleTolerance);
  const auto gradients = testing::gradients_of(*model, output.logits);
  for (const auto& item : model->named_parameters()) {
    EXPECT_TRUE(item.value().grad().defined()) << item.key() << ": nothing reads it";
  }
  expected().expect_gradients(gradients, key, kDoubleTolerance);

  const torch::NoGradGuard no_grad;
  model->to(torch::kFloat32);
  const torch::Tensor logits = model->forward(test.images().to(torch::kFloat32)).logits;
  expected().expect_near(sample(logits, 128), key + ".logits", test.float_tolerance);
}

INSTANTIATE_TEST_SUITE_P(
    Models, PyramidParity,
    ::testing::Values(Case{"resnet18", 70, 50, 1, 5}, Case{"efficientnet_b0", 64},
                      Case{"tresnet_m", 64}, Case{"swin_tiny_patch4_window7_224", 64},
                      Case{"swinv2_tiny_window8_256", 64, 96, 1, 5, 3e-5},
                      Case{"cvt_13", 64, 0, 3, 7, 3e-5}, Case{"cvt_13", 72, 56, 1, 5, 3e-5},
                      Case{"vit_tiny_patch16_224", 64}, Case{"vit_small_patch14_dinov2", 56},
                      Case{"vit_small_patch14_dinov2", 70, 42, 1, 5},
                      Case{"vit_small_patch14_reg4_dinov2", 56, 28},
                      Case{"beit_base_patch16_224", 64}),
    [](const auto& instance) {
      std::string name = instance.param.key();
      std::replace(name.begin(), name.end(), '.', '_');
      return name;
    });

TEST(Pyramid, StridesAreThoseOfTheMaps) {
  EXPECT_THAT(make({"cvt_13", 64})->pyramid_strides(), ElementsAre(4, 8, 16, 32));
  EXPECT_THAT(make({"vit_tiny_patch16_224", 64})->pyramid_strides(), ElementsAre(4, 8, 16, 32));
  EXPECT_THAT(make({"vit_small_patch14_dinov2", 56})->pyramid_strides(),
              ElementsAre(3.5, 7, 14, 28));
}

TEST(Pyramid, ImagesTooSmallForTwoPlacesASideAreNamed) {
  const auto error = [](const Case& test) {
    return message_of<UsageError>([&] { make(test)->forward(test.images().to(torch::kFloat32)); });
  };
  EXPECT_THAT(error({"vit_tiny_patch16_224", 16, 48}),
              HasSubstr("images of 16 x 48 px give a map of 1 x 3 places"));
  EXPECT_THAT(error({"cvt_13", 64, 16}), HasSubstr("images of 64 x 16 px give a map of 4 x 1"));
}

TEST(Pyramid, PoolsAndWidthsAreRefused) {
  ModelOptions options;
  options.name = "vit_tiny_patch16_224";
  options.head.name = "fpn";
  options.pool = "avg";
  EXPECT_THAT(message_of<UsageError>([&] { make_uninitialised_model(options); }),
              HasSubstr("pool is \"avg\""));
  options.pool = "";
  EXPECT_THAT(message_of<UsageError>([] {
                choose_head("fpn", {{"dim", 64}});
              }),
              HasSubstr("head fpn: dim is 64"));
}

}  // namespace
}  // namespace podium::models
