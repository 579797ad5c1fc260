// Proves that ViT, DINOv2, Swin, Swin-v2 and BEiT compute what their public Python definitions
// compute, with equal weights, and have their names and facts. Expected values: make_vit_parity.py,
// by torch 2.11.0, timm 1.0.31 and transformers 5.23.0 in float64. Tolerances: float64 1e-9 of the
// tensor's largest value; float32 1e-5 (ten times the definitions' own float32 noise). One head of
// Swin-v2's first block attends at the bound 100.
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <ostream>
#include <sstream>

#include "base/error.h"
#include "models/backbones/beit.h"
#include "models/backbones/families.h"
#include "models/backbones/swin.h"
#include "models/backbones/vit.h"
#include "models/registry.h"
#include "models/weights/weights.h"
#include "parameter_rule.h"
#include "parity_fixture.h"

namespace podium::models {
namespace {

using testing::digest_of;
using testing::fill_by_rule;
using testing::images_by_rule;
using testing::kDoubleTolerance;
using testing::name_lines;
using testing::sample;
using testing::uniform_by_name;
using testing::value_by_rule;

constexpr double kFloatTolerance = 1e-5;

const testing::ParityFixture& expected() {
  static const testing::ParityFixture kExpected("vit_parity.safetensors");
  return kExpected;
}

void expect_near(const torch::Tensor& found, const std::string& key, double tolerance) {
  expected().expect_near(found, key, tolerance);
}

// A case of make_vit_parity.py; depth 0 and zeros in options: the model's own.
struct Case {
  ModelOptions options;
  int64_t height = 0, width = 0;
  std::string note = "";
  int64_t depth = 0;
  bool has_shared_table = false;

  std::string key() const {
    std::string key = fmt::format("{}.c{}.s{}", options.name, options.in_channels, height);
    if (width != height) key += fmt::format("x{}", width);
    key += fmt::format(".k{}", options.num_classes);
    return note.empty() ? key : key + "." + note;
  }
};

void PrintTo(const Case& test, std::ostream* stream) { *stream << test.key(); }

// Without first values: the rule gives them.
std::shared_ptr<VisionModel> build(const Case& test) {
  const std::string& name = test.options.name;
  if (name.starts_with("vit_")) {
    VitLayout layout = vit_layout(name);
    if (test.depth > 0) layout.depth = test.depth;
    return std::make_shared<Vit>(test.options, layout);
  }
  if (name.starts_with("swin")) {
    return std::make_shared<Swin>(test.options, swin_layout(name));
  }
  BeitLayout layout = beit_layout(name);
  if (test.depth > 0) layout.depth = test.depth;
  layout.has_shared_table = test.has_shared_table;
  return std::make_shared<Beit>(test.options, layout);
}

// The gradients of sum(logits * cotangent): all norms in order of the names, some elements of a
// few.
void expect_gradients(VisionModel& model, const torch::Tensor& logits, const std::string& key) {
  const torch::Tensor cotangent = uniform_by_name("cotangent", logits.numel()) * 2 - 1;
  (logits * cotangent.reshape(logits.sizes())).sum().backward();
  std::vector<torch::Tensor> norms;
  int num_samples = 0;
  for (const auto& [name, parameter] : state_dict(model)) {
    norms.push_back(parameter.grad().norm());
    const std::string sample_key = key + ".grad." + name;
    if (!expected().contains(sample_key)) continue;
    ++num_samples;
    expect_near(sample(parameter.grad(), 8), sample_key, kDoubleTolerance);
  }
  expect_near(torch::stack(norms), key + ".grad_norms", kDoubleTolerance);
  EXPECT_GE(num_samples, 4);
}

class VitParity : public ::testing::TestWithParam<Case> {};

TEST_P(VitParity, OutputsAndGradientsEqualTheReference) {
  const Case& test = GetParam();
  const std::string key = test.key();
  auto model = build(test);
  model->to(torch::kFloat64);
  fill_by_rule(*model);
  model->eval();
  const torch::Tensor images = images_by_rule(test.options.in_channels, test.height, test.width);
  const ModelOutput output = model->forward(images);
  expect_near(output.logits, key + ".logits", kDoubleTolerance);
  expect_near(sample(output.features, 32), key + ".features", kDoubleTolerance);
  expect_near(sample(output.unpooled, 32), key + ".unpooled", kDoubleTolerance);
  expect_gradients(*model, output.logits, key);

  torch::NoGradGuard no_grad;
  if (expected().contains(key + ".pyramid")) {
    std::vector<torch::Tensor> norms;
    for (const torch::Tensor& map : model->forward_pyramid(images)) norms.push_back(map.norm());
    expect_near(torch::stack(norms), key + ".pyramid", kDoubleTolerance);
  }
  model->to(torch::kFloat32);
  expect_near(model->forward(images.to(torch::kFloat32)).logits, key + ".logits", kFloatTolerance);
}

std::vector<Case> cases() {
  const char *vit = "vit_tiny_patch16_224", *dino = "vit_small_patch14_dinov2";
  const char *reg = "vit_small_patch14_reg4_dinov2", *beit = "beit_base_patch16_224";
  const char *swin = "swin_tiny_patch4_window7_224", *swin_v2 = "swinv2_tiny_window8_256";
  const auto options = [](const char* name, int64_t channels = 3, int64_t classes = 7) {
    ModelOptions result;
    result.name = name;
    result.in_channels = channels;
    result.num_classes = classes;
    return result;
  };
  const auto pooled = [&](ModelOptions result, const char* pool, const char* naming = "timm") {
    result.pool = pool;
    result.naming = naming;
    return result;
  };
  const auto sized = [&](ModelOptions result, int64_t image_size, int64_t window_size = 0) {
    result.image_size = image_size;
    result.window_size = window_size;
    return result;
  };
  return {
      {options(vit), 224, 224},
      {options(vit, 1, 5), 64, 96},
      {sized(options(vit), 48), 48, 48, "table"},
      {pooled(options(vit), "avg"), 64, 64, "avg"},
      {options("vit_small_patch32_224", 4), 96, 96},
      {options(dino), 56, 56},
      {options(dino, 1, 5), 42, 70},
      {pooled(options(dino), "token_avg"), 56, 56, "token_avg"},
      {pooled(options(dino), "last4"), 56, 56, "last4"},
      {pooled(options(dino), "token", "official"), 56, 84, "official"},
      {pooled(options(dino), "", "transformers"), 56, 84, "transformers"},
      {options(reg), 56, 70},
      {pooled(options(reg, 5, 3), "token_avg"), 42, 42, "token_avg"},
      {sized(options("vit_giant_patch14_dinov2"), 28), 28, 28, "depth2", 2},
      {options("vit_large_patch14_dinov2"), 42, 42},
      {sized(options(swin_v2), 128), 128, 128},
      {sized(options(swin_v2, 1, 5), 64, 4), 64, 64, "window4"},
      {sized(options(swin_v2, 4, 3), 64, 4), 64, 96, "rectangle"},
      {sized(options("swinv2_tiny_window16_256"), 192, 6), 192, 192, "window6"},
      {sized(options("swinv2_base_window12to16_192to256"), 64, 4), 64, 64, "window4"},
      {sized(options("swinv2_large_window12to16_192to256"), 64, 4), 64, 64, "window4"},
      {options(swin), 224, 224},
      {sized(options(swin, 1, 5), 112), 112, 112, "image112"},
      {options(swin), 96, 80, "padded"},
      {sized(options("swin_base_patch4_window7_224"), 112), 112, 112, "image112"},
      {sized(options(beit), 64), 64, 64, "image64"},
      {sized(options(beit, 1, 5), 96), 96, 96, "image96"},
      {sized(pooled(options(beit), "token"), 64), 64, 64, "token"},
      {sized(options(beit), 64), 64, 64, "shared", 2, true},
      {sized(options("beit_large_patch16_224"), 48), 48, 48, "image48"},
  };
}

INSTANTIATE_TEST_SUITE_P(Models, VitParity, ::testing::ValuesIn(cases()), [](const auto& instance) {
  std::string name = instance.param.key();
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

// Facts of a line of vit_entries.txt.
class VitEntries : public ::testing::TestWithParam<std::string> {};

TEST_P(VitEntries, NamesShapesAndFactsAreTheReferences) {
  std::istringstream line(GetParam());
  std::string name;
  int64_t num_parameters = 0, image_size = 0;
  uint64_t digest = 0;
  std::array<float, 3> mean{}, std{};
  line >> name >> num_parameters >> digest >> image_size;
  for (float& value : mean) line >> value;
  for (float& value : std) line >> value;
  const ModelRow& info = find_model(name);
  EXPECT_EQ(info.image_size, image_size);
  EXPECT_EQ(info.mean, mean);
  EXPECT_EQ(info.std, std);

  Case test;
  test.options.name = name;
  test.options.num_classes = 7;
  const auto model = build(test);
  int64_t found_parameters = 0;
  for (const auto& parameter : model->parameters()) found_parameters += parameter.numel();
  EXPECT_EQ(found_parameters, num_parameters);
  const std::set<std::string> lines = name_lines(state_dict(*model));
  EXPECT_EQ(digest_of(lines), digest) << fmt::format("{}", fmt::join(lines, "\n"));
}

std::vector<std::string> entry_lines() {
  std::vector<std::string> lines;
  std::ifstream file(std::filesystem::path(PODIUM_TEST_DATA) / "vit_entries.txt");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("#")) lines.push_back(line);
  }
  return lines;
}

INSTANTIATE_TEST_SUITE_P(Models, VitEntries, ::testing::ValuesIn(entry_lines()),
                         [](const auto& instance) {
                           return instance.param.substr(0, instance.param.find(' '));
                         });

TEST(VitEntriesFile, CoversTheRegistry) {
  std::set<std::string> listed, found;
  for (const std::string& line : entry_lines()) listed.insert(line.substr(0, line.find(' ')));
  for (const auto& family : {vit_models(), swin_models(), beit_models()}) {
    for (const ModelRow& model : family) found.insert(model.name);
  }
  EXPECT_THAT(found, ::testing::ContainerEq(listed));
}

TEST(PositionTables, AreResizedAsInTimm) {
  const torch::Tensor table = value_by_rule("table", {1, 1 + 36, 2}).to(torch::kFloat32);
  for (const Grid grid : {Grid{4, 4}, Grid{9, 5}}) {
    expect_near(resample_position_table(table, 1, grid, PositionResampling::kAntialiased),
                fmt::format("resize.position.{}x{}", grid[0], grid[1]), 1e-6);
  }
  for (const int64_t extra : {0, 3}) {
    const torch::Tensor relative = value_by_rule("table", {13 * 13 + extra, 2}).to(torch::kFloat32);
    for (const Grid grid : {Grid{5, 5}, Grid{12, 12}, Grid{8, 6}}) {
      expect_near(resize_relative_table(relative, grid, extra),
                  fmt::format("resize.relative{}.{}x{}", extra, grid[0], grid[1]), 1e-6);
    }
  }
}

}  // namespace
}  // namespace podium::models
