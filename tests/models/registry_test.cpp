// Proves for every registered model: it runs forward and backward, is saved and loaded to the bit,
// and starts from the same values for the same seed. And: wrong names and options are refused by
// name.
#include "models/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "base/error.h"
#include "models/heads/head_table.h"
#include "models/layers/batch_norm.h"
#include "models/weights/weights.h"

namespace podium::models {
namespace {

using ::testing::HasSubstr;

ModelOptions small(const std::string& name) {
  ModelOptions options;
  options.name = name;
  options.num_classes = 3;
  if (name.starts_with("beit")) options.image_size = 32;  // takes no other size
  return options;
}

std::string usage_error(const ModelOptions& options) {
  try {
    make_model(options, 1);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no error";
}

// Families with large members are tested by a small one: the others differ in sizes alone.
std::vector<std::string> tested_names() {
  const std::map<std::string, std::string> small_members{
      {"beit", "beit_base_patch16_224"},      {"cvt", "cvt_13"},
      {"efficientnet", "efficientnet_b0"},    {"resnet", "resnet18"},
      {"resnext", "resnext50_32x4d"},         {"swin", "swin_tiny_patch4_window7_224"},
      {"swin_v2", "swinv2_tiny_window8_256"}, {"tresnet", "tresnet_m"},
      {"vit", "vit_tiny_patch16_224"}};
  std::vector<std::string> result;
  for (const ModelRow& model : model_table().rows()) {
    const auto member = small_members.find(model.family);
    if (member == small_members.end() || member->second == model.name) result.push_back(model.name);
  }
  return result;
}

class EveryModel : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryModel, RunsForwardAndBackward) {
  auto model = make_model(small(GetParam()), 1);
  model->train();
  torch::manual_seed(1);
  const int64_t height = GetParam().starts_with("beit") ? 32 : 64;
  const torch::Tensor images = torch::randn({2, 3, height, 32});
  {
    // Branches that start at zero give what lies within no gradient before their first step.
    torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : model->parameters()) {
      if (parameter.abs().max().item<double>() == 0) parameter.fill_(0.01);
    }
  }
  const ModelOutput output = model->forward(images);
  if (find_model(GetParam()).task == ModelTask::kSegmentation) {
    EXPECT_EQ(output.logits.sizes(), (std::vector<int64_t>{2, 3, 64, 32}));
    EXPECT_EQ(output.features.dim(), 4);
    EXPECT_EQ(output.features.size(2), 16);
  } else {
    EXPECT_EQ(output.logits.sizes(), (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(output.features.dim(), 2);
  }
  output.logits.square().sum().backward();
  for (const auto& item : model->named_parameters()) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    EXPECT_TRUE(item.value().grad().isfinite().all().item<bool>()) << item.key();
    // CvT reads the class token alone, and it is no patch: what asks for the patches in the last
    // block reaches no output.
    const bool is_silent = item.key().starts_with("stage2.blocks.9.attn.conv_proj_q.");
    EXPECT_EQ(item.value().grad().abs().sum().item<double>() > 0, !is_silent) << item.key();
  }
}

TEST_P(EveryModel, IsSavedAndLoadedToTheBit) {
  const auto file = std::filesystem::path(::testing::TempDir()) /
                    ("podium_" + std::to_string(::getpid()) + "_" + GetParam() + ".safetensors");
  auto model = make_model(small(GetParam()), 1);
  torch::manual_seed(2);
  const torch::Tensor images = torch::randn({2, 3, 32, 32});
  for (BatchNorm2dImpl* norm : find_batch_norms(*model)) norm->running_mean.fill_(0.25);
  model->eval();
  save_tensors(file, state_dict(*model));
  auto other = make_model(small(GetParam()), 2);
  other->eval();
  EXPECT_FALSE(torch::equal(model->forward(images).logits, other->forward(images).logits));
  load_state_dict(*other, load_tensors(file));
  EXPECT_TRUE(torch::equal(model->forward(images).logits, other->forward(images).logits));
  std::filesystem::remove(file);
}

TEST_P(EveryModel, StartsFromTheSeedAlone) {
  torch::manual_seed(3);
  const StateDict first = state_dict(*make_model(small(GetParam()), 5));
  torch::manual_seed(4);
  const StateDict second = state_dict(*make_model(small(GetParam()), 5));
  const StateDict third = state_dict(*make_model(small(GetParam()), 6));
  bool is_third_different = false;
  for (const auto& [name, tensor] : first) {
    EXPECT_TRUE(torch::equal(tensor, second.at(name))) << name;
    is_third_different |= !torch::equal(tensor, third.at(name));
  }
  EXPECT_TRUE(is_third_different);
}

INSTANTIATE_TEST_SUITE_P(Registry, EveryModel, ::testing::ValuesIn(tested_names()),
                         [](const auto& instance) { return instance.param; });

TEST(Registry, IsSortedByNameAndDescribed) {
  const auto all = model_table().names();
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  for (const ModelRow& model : model_table().rows()) {
    EXPECT_FALSE(model.help.empty() || model.family.empty() || model.naming.empty()) << model.name;
  }
}

TEST(Registry, UnknownModelNamesTheNearest) {
  const std::string message = usage_error(small("resnet5"));
  EXPECT_THAT(message, HasSubstr("unknown model \"resnet5\""));
  EXPECT_THAT(message, HasSubstr("resnet50"));
  EXPECT_THAT(message, HasSubstr("podium models"));
}

TEST(Registry, WrongOptionsNameTheValue) {
  ModelOptions options = small("resnet18");
  options.head.name = "liner";
  EXPECT_THAT(usage_error(options), HasSubstr("\"liner\" (did you mean \"linear\"?)"));
  options = small("resnet18");
  options.num_classes = 0;
  EXPECT_THAT(usage_error(options), HasSubstr("num_classes is 0"));
  options = small("resnet18");
  options.in_channels = -1;
  EXPECT_THAT(usage_error(options), HasSubstr("in_channels is -1"));
  options = small("resnet18");
  options.drop_rate = 1;
  EXPECT_THAT(usage_error(options), HasSubstr("drop_rate is 1"));
  options = small("resnet18");
  options.head = {"ml_decoder", {{"queries", 4}}};
  EXPECT_THAT(usage_error(options), HasSubstr("head ml_decoder: 4 queries for 3 classes"));
  options.head = {"q2l", {{"dim", 6}}};
  EXPECT_THAT(usage_error(options), HasSubstr("width 6 is not a multiple of 4"));
  EXPECT_THAT(usage_error(options), HasSubstr("to 8"));
  options = small("fpn_resnet18");
  options.head.name = "ml_decoder";
  EXPECT_THAT(usage_error(options), HasSubstr("model fpn_resnet18: head ml_decoder: this model"));
  options = small("color_histogram");
  options.in_channels = 4;
  EXPECT_THAT(usage_error(options), HasSubstr("in_channels is 4, expected 1 or 3"));
}

TEST(Registry, WrongImagesNameTheShape) {
  auto model = make_model(small("resnet18"), 1);
  try {
    model->forward(torch::zeros({2, 1, 32, 32}));
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("(2, 1, 32, 32), expected (B, 3, H, W)"));
  }
}

class EveryHead : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryHead, TrainsSavesAndLoadsOverAnotherHead) {
  ModelOptions options = small("resnet18");
  options.head.name = GetParam();
  auto model = make_model(options, 1);
  model->train();
  torch::manual_seed(1);
  const torch::Tensor images = torch::randn({2, 3, 64, 32});
  const ModelOutput output = model->forward(images);
  const bool is_segmentation =
      find_task(options.name, options.head.name) == ModelTask::kSegmentation;
  EXPECT_EQ(output.logits.sizes(),
            is_segmentation ? (std::vector<int64_t>{2, 3, 64, 32}) : (std::vector<int64_t>{2, 3}));
  output.logits.square().sum().backward();
  for (const auto& item : model->named_parameters()) {
    const bool is_frozen =
        options.head.name == "ml_decoder" && item.key() == "fc.decoder.query_embed.weight";
    EXPECT_EQ(item.value().requires_grad(), !is_frozen) << item.key();
    ASSERT_EQ(item.value().grad().defined(), !is_frozen) << item.key();
  }
  auto other = make_model(options, 2);
  load_state_dict(*other, state_dict(*model));
  other->eval();
  model->eval();
  EXPECT_TRUE(torch::equal(model->forward(images).logits, other->forward(images).logits));
  // Published classification weights: the head is left out.
  const auto published = make_model(small("resnet18"), 3);
  load_state_dict(other->backbone(), state_dict(*published), {.is_strict = false});
  const StateDict loaded = state_dict(other->backbone());
  EXPECT_TRUE(torch::equal(loaded.at("conv1.weight"), state_dict(*published).at("conv1.weight")));
}

// Dropout inside the head follows libtorch's generator, which the trainer seeds by step and leaf.
TEST_P(EveryHead, DropsByTheGivenRateAndSeed) {
  ModelOptions options = small("resnet18");
  options.head.name = GetParam();
  options.drop_rate = 0.5;  // before a linear head, and of fpn
  if (head_table().at(GetParam()).parameters.find("drop_rate") != nullptr) {
    options.drop_rate = 0;
    options.head.parameters["drop_rate"] = 0.5;
  }
  auto model = make_model(options, 1);
  const torch::Tensor images = torch::ones({1, 3, 32, 32});
  model->eval();
  EXPECT_TRUE(torch::equal(model->forward(images).logits, model->forward(images).logits));
  model->train();
  for (BatchNorm2dImpl* norm : find_batch_norms(*model)) norm->eval();
  const auto drawn = [&](uint64_t seed) {
    torch::manual_seed(seed);
    return model->forward(images).logits;
  };
  EXPECT_TRUE(torch::equal(drawn(1), drawn(1)));
  EXPECT_FALSE(torch::equal(drawn(1), drawn(2)));
}

INSTANTIATE_TEST_SUITE_P(Registry, EveryHead, ::testing::ValuesIn(head_table().names()),
                         [](const auto& instance) { return instance.param; });

// Mean and deviation of a large weight against torchvision's rule: kaiming normal, fan out, gain
// sqrt(2).
TEST(Registry, ConvolutionsStartAsInTorchvision) {
  const StateDict state = state_dict(*make_model(small("resnet18"), 1));
  const torch::Tensor weight = state.at("layer4.1.conv2.weight").detach();
  const double wanted = std::sqrt(2.0 / (512 * 9));
  EXPECT_NEAR(weight.std().item<double>(), wanted, 0.003 * wanted);
  EXPECT_NEAR(weight.mean().item<double>(), 0, 0.003 * wanted);
  EXPECT_NEAR(weight.pow(4).mean().item<double>() / std::pow(wanted, 4), 3, 0.05);  // normal
  const torch::Tensor head = state.at("fc.weight").detach();
  EXPECT_LE(head.abs().max().item<double>(), 1 / std::sqrt(512.0));
  EXPECT_GT(head.abs().max().item<double>(), 0.97 / std::sqrt(512.0));
}

TEST(ColorHistogram, CountsColoursOfAHandMadeImage) {
  auto model = make_model(small("color_histogram"), 1);
  // Half black, half (1, 0, 0.5), normalised.
  torch::Tensor images = torch::zeros({1, 3, 2, 2});
  images.select(1, 0).select(1, 0).fill_(1.0);
  images.select(1, 2).select(1, 0).fill_(0.5);
  const torch::Tensor mean = torch::tensor({0.485, 0.456, 0.406}).view({1, 3, 1, 1});
  const torch::Tensor std = torch::tensor({0.229, 0.224, 0.225}).view({1, 3, 1, 1});
  // A little inside the bins: 0 and 1 lie on their borders, 0.5 between two of them.
  const torch::Tensor features = model->forward((images * 0.998 + 0.001 - mean) / std).features[0];
  ASSERT_EQ(features.size(0), 112);
  const double half = std::sqrt(16 * 0.5) - 1, full = std::sqrt(16.0) - 1;
  EXPECT_NEAR(features[0].item<double>(), half, 1e-5);   // red 0
  EXPECT_NEAR(features[15].item<double>(), half, 1e-5);  // red 1
  EXPECT_NEAR(features[16].item<double>(), full, 1e-5);  // green 0
  EXPECT_NEAR(features[1].item<double>(), -1, 1e-5);     // red 1/16: none
  const double joint = std::sqrt(64 * 0.5) - 1;
  EXPECT_NEAR(features[48].item<double>(), joint, 1e-5);  // black
  EXPECT_NEAR(features[48 + 3 * 16 + 0 * 4 + 2].item<double>() +
                  features[48 + 3 * 16 + 0 * 4 + 1].item<double>(),
              joint - 1, 1e-5);  // (1, 0, 0.5)
}

}  // namespace
}  // namespace podium::models
