// Proves that weights travel: files that Podium writes are loaded strictly by timm, torchvision and
// transformers (torch 2.11.0, timm 1.0.31, torchvision 0.26.0, transformers 5.23.0; run at test
// time), compute the same there, train to the same weights in one AdamW step, and what is saved
// there is loaded strictly here. One small model of each family in each naming; all float64, 1e-9
// of each tensor's range. Feature maps equal timm's. And: the names and shapes of every published
// file of the full-size models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "interop_case.h"
#include "models/registry.h"
#include "models/weights/naming.h"
#include "parity_fixture.h"

namespace podium::models {
namespace {

using testing::InteropCase;

class RoundTrip : public ::testing::TestWithParam<InteropCase> {};

TEST_P(RoundTrip, WeightsTravelBothWays) { testing::run_round_trip(GetParam()); }

INSTANTIATE_TEST_SUITE_P(
    Models, RoundTrip,
    ::testing::Values(InteropCase{"resnet18"}, InteropCase{"resnet18", "torchvision", 96, 64, 3, 9},
                      InteropCase{"resnext50_32x4d", "torchvision"}, InteropCase{"efficientnet_b0"},
                      InteropCase{"tf_efficientnet_b0", "timm", 72, 50, 1, 4},
                      InteropCase{"tresnet_m"}, InteropCase{"tresnet_m", "filtered"},
                      InteropCase{"tresnet_v2_l"}, InteropCase{"cvt_13", "official"},
                      InteropCase{"cvt_13", "transformers", 80, 64, 1, 4},
                      InteropCase{"vit_tiny_patch16_224", "timm", 64, 96},
                      InteropCase{"vit_small_patch14_dinov2", "timm", 56, 56},
                      InteropCase{"vit_small_patch14_dinov2", "transformers", 56, 84},
                      InteropCase{"vit_small_patch14_reg4_dinov2", "timm", 42, 70},
                      InteropCase{"vit_small_patch14_reg4_dinov2", "transformers", 56, 84},
                      InteropCase{"beit_base_patch16_224", "timm", 48, 48},
                      InteropCase{"beit_base_patch16_224", "transformers", 48, 48, 1, 4},
                      InteropCase{"swin_tiny_patch4_window7_224", "timm", 112, 112},
                      InteropCase{"swin_tiny_patch4_window7_224", "filtered", 112, 112},
                      InteropCase{"swinv2_tiny_window8_256", "timm", 128, 96, 1, 4},
                      InteropCase{"swinv2_tiny_window8_256", "filtered", 96, 96}),
    [](const auto& instance) { return instance.param.key(); });

class Pyramid : public ::testing::TestWithParam<InteropCase> {};

TEST_P(Pyramid, MapsAreTimms) { testing::compare_pyramid(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Models, Pyramid,
                         ::testing::Values(InteropCase{"resnet18", "timm", 64, 96},
                                           InteropCase{"efficientnet_b0", "timm", 64, 96},
                                           InteropCase{"tresnet_m", "timm", 64, 96},
                                           InteropCase{"swin_tiny_patch4_window7_224", "timm", 128,
                                                       128},
                                           InteropCase{"swinv2_tiny_window8_256", "timm", 64, 96}),
                         [](const auto& instance) { return instance.param.model; });

// What reference.py is asked for: every naming of these models.
std::vector<std::pair<std::string, std::string>> published_files() {
  std::vector<std::pair<std::string, std::string>> files;
  for (const ModelRow& model : model_table().rows()) {
    const std::string& family = model.family;
    // These are Podium's own.
    if (model.task == ModelTask::kSegmentation || model.name == "color_histogram") continue;
    if (family != "cvt") files.emplace_back(model.name, "timm");
    if (family == "cvt") files.emplace_back(model.name, "official");
    if (model.name.starts_with("resne") && model.name != "resnext101_32x16d") {
      files.emplace_back(model.name, "torchvision");
    }
    const bool is_in_transformers =
        family == "cvt" || family == "beit" || model.name.find("dinov2") != std::string::npos;
    if (is_in_transformers) files.emplace_back(model.name, "transformers");
  }
  return files;
}

StateDict without_memory(const std::string& name, const std::string& naming) {
  ModelOptions options;
  options.name = name;
  options.num_classes = 7;
  if (naming == "transformers") options.naming = naming;
  // Never written to, so that no memory is taken.
  const StateDict own = state_dict(*make_uninitialised_model(options));
  return naming == "transformers" ? from_own_names(name, naming, own) : own;
}

TEST(PublishedFiles, NamesAndShapesAreEqualAsSets) {
  const std::string python = testing::find_reference_python();
  if (python.empty()) return;
  const std::string file = ::testing::TempDir() + fmt::format("podium_names_{}", ::getpid());
  std::string arguments = "names " + file;
  for (const auto& [name, naming] : published_files()) arguments += " " + name + "/" + naming;
  ASSERT_TRUE(testing::run_reference(python, arguments));
  std::map<std::string, std::set<std::string>> wanted;
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.find(' ');
    wanted[line.substr(0, space)].insert(line.substr(space + 1));
  }
  std::filesystem::remove(file);
  for (const auto& [name, naming] : published_files()) {
    const std::set<std::string>& reference = wanted[name + "/" + naming];
    EXPECT_GT(reference.size(), 50u) << name << " " << naming;
    const std::set<std::string> found = testing::name_lines(without_memory(name, naming));
    EXPECT_THAT(found, ::testing::ContainerEq(reference)) << name << " " << naming;
  }
}

}  // namespace
}  // namespace podium::models
