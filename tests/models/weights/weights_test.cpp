// Proves that tensors of every type survive a file, that published weights fit where they should,
// and that a misfit is listed.
#include "models/weights/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "models/registry.h"
#include "models/weights/naming.h"
#include "tests/message_of.h"

namespace podium::models {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::shared_ptr<VisionModel> make(const std::string& name, int64_t num_classes, uint64_t seed) {
  ModelOptions options;
  options.name = name;
  options.num_classes = num_classes;
  return make_model(options, seed);
}

StateDict copy_of(const torch::nn::Module& module) {
  StateDict copy;
  for (const auto& [name, tensor] : state_dict(module)) copy[name] = tensor.detach().clone();
  return copy;
}

TEST(Weights, EveryTypeSurvivesAFile) {
  StateDict tensors;
  for (const auto type : {torch::kFloat64, torch::kFloat32, torch::kFloat16, torch::kBFloat16,
                          torch::kInt64, torch::kInt32, torch::kInt16, torch::kInt8, torch::kUInt8,
                          torch::kUInt16, torch::kUInt32, torch::kUInt64, torch::kBool}) {
    tensors[c10::toString(type)] = torch::arange(6).reshape({2, 3}).to(type);
  }
  tensors["scalar"] = torch::full({}, 7, torch::dtype(torch::kInt64));
  tensors["empty"] = torch::empty({0, 3});
  tensors["transposed"] = torch::arange(6, torch::dtype(torch::kFloat32)).reshape({2, 3}).t();
  const auto file = std::filesystem::path(::testing::TempDir()) /
                    ("podium_" + std::to_string(::getpid()) + "_types.safetensors");
  save_tensors(file, tensors, {{"format", "pt"}});
  const StateDict loaded = load_tensors(file);
  ASSERT_EQ(loaded.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    ASSERT_TRUE(loaded.contains(name)) << name;
    const torch::Tensor& found = loaded.at(name);
    EXPECT_EQ(found.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_EQ(found.sizes(), tensor.sizes()) << name;
    EXPECT_TRUE(torch::equal(found.to(torch::kFloat64), tensor.to(torch::kFloat64))) << name;
  }
  std::filesystem::remove(file);
}

TEST(Weights, MisfitListsMissingExtraAndMisshapenNames) {
  auto model = make("resnet18", 2, 1);
  StateDict weights = copy_of(*model);
  weights.erase("bn1.bias");
  weights["layer9.weight"] = torch::zeros({1});
  weights["fc.bias"] = torch::zeros({5});
  const std::string message = message_of<DataError>([&] { load_state_dict(*model, weights); });
  EXPECT_THAT(message, HasSubstr("model resnet18"));
  EXPECT_THAT(message, HasSubstr("1 missing (bn1.bias)"));
  EXPECT_THAT(message, HasSubstr("1 extra (layer9.weight)"));
  EXPECT_THAT(message, HasSubstr("1 misshapen (fc.bias: found (5), model has (2))"));
}

TEST(Weights, LongListsAreCutWithACount) {
  auto model = make("resnet18", 2, 1);
  StateDict weights = copy_of(*model);
  std::erase_if(weights, [](const auto& item) { return item.first.starts_with("layer1."); });
  const std::string message =
      message_of<DataError>([&] { load_state_dict_strict(*model, weights); });
  EXPECT_THAT(message, HasSubstr("24 missing (layer1.0.bn1.bias, "));
  EXPECT_THAT(message, HasSubstr("...)"));
}

TEST(Weights, NothingIsCopiedWhenSomethingDoesNotFit) {
  auto model = make("resnet18", 2, 1);
  const StateDict before = copy_of(*model);
  StateDict weights = copy_of(*make("resnet18", 2, 2));
  weights.erase("bn1.bias");
  message_of<DataError>([&] { load_state_dict(*model, weights); });
  EXPECT_TRUE(torch::equal(before.at("conv1.weight"), state_dict(*model).at("conv1.weight")));
}

TEST(Weights, HeadOfAnotherClassCountIsLeftOutOnRequest) {
  const StateDict weights = copy_of(*make("resnet18", 10, 1));
  auto model = make("resnet18", 2, 2);
  const StateDict before = copy_of(*model);
  EXPECT_THAT(message_of<DataError>([&] { load_state_dict(*model, weights); }),
              HasSubstr("fc.weight: found (10, 512), model has (2, 512)"));
  const LoadReport report = load_state_dict(*model, weights, {.is_strict = false});
  EXPECT_THAT(report.left_out, ElementsAre("fc.bias", "fc.weight"));
  const StateDict after = state_dict(*model);
  EXPECT_TRUE(torch::equal(after.at("fc.weight"), before.at("fc.weight")));
  EXPECT_TRUE(torch::equal(after.at("conv1.weight"), weights.at("conv1.weight")));
}

TEST(Weights, FittingHeadIsLoadedWhenLaxToo) {
  const StateDict weights = copy_of(*make("resnet18", 2, 1));
  auto model = make("resnet18", 2, 2);
  EXPECT_THAT(load_state_dict(*model, weights, {.is_strict = false}).left_out, ElementsAre());
  EXPECT_TRUE(torch::equal(state_dict(*model).at("fc.weight"), weights.at("fc.weight")));
}

TEST(Weights, LaxLoadingStillRefusesAnotherBackbone) {
  auto model = make("resnet18", 2, 1);
  const StateDict weights = copy_of(*make("resnet34", 2, 1));
  EXPECT_THAT(
      message_of<DataError>([&] { load_state_dict(*model, weights, {.is_strict = false}); }),
      HasSubstr("extra (layer1.2."));
}

TEST(Weights, ClassificationWeightsFitASegmentationBackbone) {
  const StateDict weights = copy_of(*make("resnet18", 10, 1));
  auto model = make("fpn_resnet18", 2, 2);
  load_state_dict(model->backbone(), weights, {.is_strict = false});
  EXPECT_TRUE(torch::equal(state_dict(*model).at("encoder.layer4.1.conv2.weight"),
                           weights.at("layer4.1.conv2.weight")));
}

TEST(Weights, PrefixIsStrippedAndOthersIgnored) {
  StateDict weights;
  for (const auto& [name, tensor] : copy_of(*make("resnet18", 2, 1)))
    weights["module." + name] = tensor;
  weights["optimizer.step"] = torch::zeros({});
  auto model = make("resnet18", 2, 2);
  load_state_dict(*model, weights, {.prefix = "module."});
  EXPECT_TRUE(torch::equal(state_dict(*model).at("fc.bias"), weights.at("module.fc.bias")));
  EXPECT_THAT(message_of<DataError>([&] { load_state_dict(*model, weights, {.prefix = "net."}); }),
              HasSubstr("starts with \"net.\""));
}

TEST(Weights, OldFilesWithoutCountersAreRead) {
  StateDict weights = copy_of(*make("resnet18", 2, 1));
  std::erase_if(weights,
                [](const auto& item) { return item.first.ends_with("num_batches_tracked"); });
  auto model = make("resnet18", 2, 2);
  load_state_dict(*model, weights);
  EXPECT_EQ(state_dict(*model).at("bn1.num_batches_tracked").item<int64_t>(), 0);
}

TEST(Weights, HalfPrecisionFilesAreWidened) {
  StateDict weights = copy_of(*make("resnet18", 2, 1));
  for (auto& [name, tensor] : weights) {
    if (tensor.is_floating_point()) tensor = tensor.to(torch::kFloat16);
  }
  auto model = make("resnet18", 2, 2);
  load_state_dict(*model, weights);
  const torch::Tensor loaded = state_dict(*model).at("conv1.weight").detach();
  EXPECT_EQ(loaded.scalar_type(), torch::kFloat32);
  EXPECT_TRUE(torch::equal(loaded, weights.at("conv1.weight").to(torch::kFloat32)));
}

// Weights of a classifier with 10 classes.
StateDict classifier_weights(const std::string& name) { return copy_of(*make(name, 10, 1)); }

TEST(Weights, BackboneAloneFitsAModelAroundIt) {
  using Around = std::tuple<std::string, std::string, std::string>;
  for (const auto& [name, head, prefix] :
       {Around{"resnet18", "q2l", "backbone.0."}, Around{"resnet18", "q2l_simplified", "backbone."},
        Around{"fpn_resnet18", "linear", "encoder."}, Around{"efficientnet_b0", "fpn", "encoder."},
        Around{"vit_tiny_patch16_224", "fpn", "encoder."},
        Around{"vit_tiny_patch16_224", "q2l_simplified", "backbone."}}) {
    const StateDict weights = classifier_weights(name == "fpn_resnet18" ? "resnet18" : name);
    SCOPED_TRACE(name + " " + head);
    ModelOptions options;
    options.name = name;
    options.head.name = head;
    options.num_classes = 3;
    const auto model = make_model(options, 2);
    const StateDict before = copy_of(*model);
    EXPECT_THAT(message_of<DataError>([&] { load_state_dict(*model, weights); }),
                HasSubstr("missing"));
    const LoadReport report = load_state_dict(*model, weights, {.is_strict = false});
    EXPECT_TRUE(report.is_backbone_alone);
    for (const auto& [key, tensor] : state_dict(*model)) {
      const bool is_inside = key.starts_with(prefix);
      const std::string own = is_inside ? key.substr(prefix.size()) : key;
      EXPECT_TRUE(torch::equal(
          tensor, is_inside && weights.contains(own) ? weights.at(own) : before.at(key)))
          << key;
      EXPECT_EQ(std::count(report.left_out.begin(), report.left_out.end(), key), !is_inside) << key;
    }
    // The whole model's own file is not taken for its backbone's.
    EXPECT_FALSE(load_state_dict(*model, copy_of(*model), {.is_strict = false}).is_backbone_alone);
  }
}

TEST(Weights, BackboneInAnotherNamingFitsAModelAroundIt) {
  ModelOptions options;
  options.name = "cvt_13";
  options.num_classes = 10;
  const auto plain = make_model(options, 1);
  options.head.name = "q2l";
  options.num_classes = 3;
  const auto model = make_model(options, 2);
  const StateDict renamed = from_own_names("cvt_13", "transformers", copy_of(*plain));
  EXPECT_TRUE(load_state_dict(*model, renamed, {.is_strict = false}).is_backbone_alone);
  EXPECT_TRUE(torch::equal(state_dict(*model).at("backbone.0.stage2.cls_token"),
                           state_dict(*plain).at("stage2.cls_token")));
}

TEST(Weights, TablesOfPositionsInAnEncoderAreResized) {
  ModelOptions options;
  options.name = "vit_tiny_patch16_224";
  options.head.name = "fpn";
  options.num_classes = 3;
  const StateDict weights = copy_of(*make_model(options, 1));
  options.image_size = 64;
  const auto model = make_model(options, 2);
  load_state_dict(*model, weights);
  EXPECT_EQ(state_dict(*model).at("encoder.pos_embed").size(1), 1 + 16);
  EXPECT_TRUE(torch::equal(state_dict(*model).at("neck.simfp_2.0.weight"),
                           weights.at("neck.simfp_2.0.weight")));
}

TEST(Weights, BackboneThatDoesNotFitIsListed) {
  ModelOptions options;
  options.name = "fpn_resnet18";
  options.num_classes = 3;
  const auto model = make_model(options, 2);
  EXPECT_THAT(message_of<DataError>([&] {
                load_state_dict(*model, classifier_weights("resnet34"), {.is_strict = false});
              }),
              HasSubstr("weights do not fit model resnet18: "));
}

TEST(Weights, DroppedHeadIsSaidWithBothClassCounts) {
  const StateDict weights = classifier_weights("resnet18");
  const auto model = make("resnet18", 2, 2);
  ::testing::internal::CaptureStderr();
  load_state_dict(*model, weights, {.is_strict = false});
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("2 tensors of the head keep their fresh values (fc.bias, fc.weight): "
                             "the file has 10 classes, the model 2"));
}

}  // namespace
}  // namespace podium::models
