// Proves that published namings are recognised and mapped there and back, that files run through a
// model and wrong ones are refused by name, and that costs are counted. Names by head:
// microsoft/CvT, microsoft/Swin-Transformer, transformers 5.23.0, Alibaba-MIIL/TResNet. Costs:
// torch 2.11.0's FlopCounterMode on timm 1.0.31.
#include "models/weights/naming.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "models/flops.h"
#include "models/registry.h"
#include "models/weights/forward_file.h"
#include "models/weights/weights.h"
#include "tests/message_of.h"

namespace podium::models {
namespace {

using ::testing::HasSubstr;

ModelOptions options_of(const std::string& name, int64_t num_classes = 3) {
  ModelOptions options;
  options.name = name;
  options.num_classes = num_classes;
  return options;
}

TEST(Naming, CvtFilesOfTransformersAreReadAndWritten) {
  const auto model = make_uninitialised_model(options_of("cvt_13"));
  const StateDict own = state_dict(*model);
  EXPECT_EQ(detect_naming("cvt_13", own), "official");
  torch::NoGradGuard no_grad;
  own.at("head.weight").fill_(0.5);
  const StateDict other = from_own_names("cvt_13", "transformers", own);
  for (const char* name :
       {"cvt.encoder.stages.1.layers.1.attention.attention.convolution_projection_key."
        "convolution_projection.normalization.running_var",
        "cvt.encoder.stages.2.cls_token",
        "cvt.encoder.stages.0.embedding.convolution_embeddings.projection.bias",
        "cvt.encoder.stages.2.layers.9.attention.attention.projection_value.weight",
        "cvt.encoder.stages.2.layers.9.attention.output.dense.weight",
        "cvt.encoder.stages.2.layers.0.intermediate.dense.bias",
        "cvt.encoder.stages.2.layers.0.output.dense.bias",
        "cvt.encoder.stages.2.layers.0.layernorm_after.bias", "layernorm.weight",
        "classifier.bias"}) {
    EXPECT_TRUE(other.contains(name)) << name;
  }
  EXPECT_EQ(detect_naming("cvt_13", other), "transformers");
  const StateDict back = to_own_names("cvt_13", "transformers", other);
  ASSERT_EQ(back.size(), own.size());
  for (const auto& [name, tensor] : own) EXPECT_TRUE(back.contains(name)) << name;
  const auto loaded = make_uninitialised_model(options_of("cvt_13"));
  load_state_dict(*loaded, other);
  EXPECT_TRUE(torch::equal(state_dict(*loaded).at("head.weight"), own.at("head.weight")));
}

// Names as microsoft/Swin-Transformer's SwinTransformer and SwinTransformerV2 give them (models/
// swin_transformer.py, swin_transformer_v2.py): counted by hand for depths 2, 2, 6, 2.
TEST(Naming, OfficialSwinFilesAreReadAndWritten) {
  torch::NoGradGuard no_grad;
  for (const char* name : {"swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"}) {
    const bool is_v2 = std::string(name).starts_with("swinv2");
    const StateDict own = state_dict(*make_uninitialised_model(options_of(name)));
    EXPECT_EQ(detect_naming(name, own), "timm");
    own.at("head.fc.bias").fill_(0.25);
    own.at("layers.3.downsample.norm.weight").fill_(0.5);
    StateDict official = from_own_names(name, "official", own);
    EXPECT_EQ(official.size(), own.size());
    // The merge halves after the projection in v2, before it in v1.
    const std::vector<std::pair<std::string, std::vector<int64_t>>> facts{
        {"patch_embed.proj.weight", {96, 3, 4, 4}},
        {"patch_embed.norm.weight", {96}},
        {"layers.0.blocks.1.attn.qkv.weight", {288, 96}},
        {"layers.0.downsample.reduction.weight", {192, 384}},
        {"layers.0.downsample.norm.weight", {is_v2 ? 192 : 384}},
        {"layers.2.downsample.reduction.weight", {768, 1536}},
        {"layers.2.downsample.norm.bias", {is_v2 ? 768 : 1536}},
        {"layers.3.blocks.1.mlp.fc2.weight", {768, 3072}},
        {"norm.weight", {768}},
        {"head.weight", {3, 768}},
        {"head.bias", {3}}};
    for (const auto& [key, shape] : facts) {
      ASSERT_TRUE(official.contains(key)) << key;
      EXPECT_EQ(official.at(key).sizes(), at::IntArrayRef(shape)) << key;
    }
    EXPECT_FALSE(official.contains("layers.3.downsample.norm.weight"));
    EXPECT_EQ(detect_naming(name, official), "official");

    // The tables that the published files carry besides.
    official["layers.0.blocks.1.attn_mask"] = torch::zeros({64, 49, 49});
    official["layers.0.blocks.0.attn.relative_position_index"] =
        torch::zeros({49, 49}, torch::dtype(torch::kLong));
    if (is_v2) {
      official["layers.0.blocks.0.attn.relative_coords_table"] = torch::zeros({1, 15, 15, 2});
    }
    const auto loaded = make_uninitialised_model(options_of(name));
    load_state_dict(*loaded, official);
    for (const char* key : {"head.fc.bias", "layers.3.downsample.norm.weight"}) {
      EXPECT_TRUE(torch::equal(state_dict(*loaded).at(key), own.at(key))) << key;
    }
  }
}

TEST(Naming, OfficialTResNetScalesAreInPlaceAbns) {
  torch::NoGradGuard no_grad;
  for (const char* name : {"tresnet_m", "tresnet_v2_l"}) {
    const StateDict own = state_dict(*make_uninitialised_model(options_of(name)));
    StateDict official = from_own_names(name, "official", own);
    const bool is_v2 = name == std::string("tresnet_v2_l");
    EXPECT_TRUE(official.contains("body.conv1.1.running_mean"));
    EXPECT_TRUE(official.contains(is_v2 ? "body.layer2.0.conv2.0.1.weight"
                                        : "body.layer2.0.conv1.0.1.weight"));
    EXPECT_TRUE(official.contains("body.layer3.0.conv2.0.0.weight"));
    EXPECT_TRUE(official.contains("body.layer3.0.downsample.1.0.weight"));
    official["body.conv1.1.weight"].fill_(-2);
    official["body.layer3.0.conv2.1.op.filt"] = torch::zeros({1});
    const StateDict back = to_own_names(name, "official", official);
    ASSERT_EQ(back.size(), own.size());
    for (const auto& [key, tensor] : own) EXPECT_TRUE(back.contains(key)) << key;
    EXPECT_FLOAT_EQ(back.at("body.conv1.bn.weight")[0].item<float>(), 2.00001f);
    EXPECT_FLOAT_EQ(back.at("body.layer1.0.conv1.bn.weight")[0].item<float>(), 1.0f);
  }
  StateDict negative = state_dict(*make_uninitialised_model(options_of("tresnet_m")));
  negative["body.conv1.bn.weight"] = torch::full({64}, -0.5);
  EXPECT_THAT(message_of<DataError>([&] { from_own_names("tresnet_m", "official", negative); }),
              HasSubstr("body.conv1.bn.weight holds -0.5"));
}

TEST(Naming, UnknownOnesAreRefusedByName) {
  const StateDict weights{{"conv1.weight", torch::zeros({1})}};
  EXPECT_THAT(message_of<DataError>([&] { detect_naming("cvt_13", weights); }),
              HasSubstr("official (stage0.patch_embed.proj.weight), transformers (cvt.encoder"));
  EXPECT_THAT(message_of<UsageError>([&] { to_own_names("cvt_13", "timn", weights); }),
              HasSubstr("unknown naming \"timn\""));
  ModelOptions options = options_of("resnet18");
  options.naming = "official";
  EXPECT_THAT(message_of<UsageError>([&] { make_model(options, 1); }),
              HasSubstr("it has one naming only"));
}

TEST(Cost, EqualsTheCountOfPyTorch) {
  const ModelCost resnet = count_cost(options_of("resnet18", 1000));
  EXPECT_EQ(resnet.num_parameters, 11689512);
  EXPECT_EQ(resnet.num_multiply_adds, 1814073344);
  EXPECT_EQ(count_cost(options_of("tresnet_m", 1000)).num_multiply_adds, 5736545792);
  EXPECT_EQ(count_cost(options_of("efficientnet_b0", 1000)).num_multiply_adds, 385814752);
  ModelOptions masks = options_of("vit_tiny_patch16_224", 7);
  masks.head.name = "fpn";
  EXPECT_EQ(count_cost(masks).num_multiply_adds, 5587493376);
}

class ForwardFile : public ::testing::Test {
 protected:
  ForwardFile()
      : folder_(std::filesystem::path(::testing::TempDir()) /
                ("podium_forward_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_);
    model_ = make_model(options_of("resnet18"), 1);
    save_tensors(folder_ / "w", state_dict(*model_));
    options_.model = options_of("resnet18");
    options_.model.in_channels = 0;
    options_.weights = folder_ / "w";
    options_.input = folder_ / "x";
    options_.output = folder_ / "y";
  }
  ~ForwardFile() override { std::filesystem::remove_all(folder_); }
  std::string data_error() {
    return message_of<DataError>([&] { forward_file(options_); });
  }

  std::filesystem::path folder_;
  std::shared_ptr<VisionModel> model_;
  ForwardOptions options_;
};

TEST_F(ForwardFile, WritesOutputsAndGradients) {
  torch::manual_seed(1);
  const torch::Tensor input = torch::randn({2, 3, 32, 32});
  save_tensors(folder_ / "x", {{"input", input}, {"target", torch::tensor({2, 0}, torch::kInt64)}});
  options_.target = folder_ / "x";
  options_.gradients = folder_ / "g";
  options_.is_double = true;
  forward_file(options_);
  model_->eval();
  const ModelOutput output = model_->forward(input);
  const StateDict written = load_tensors(folder_ / "y");
  EXPECT_EQ(written.at("logits").scalar_type(), torch::kFloat64);
  EXPECT_TRUE(torch::allclose(written.at("logits").to(torch::kFloat32), output.logits, 1e-3, 1e-4));
  EXPECT_EQ(written.at("features").sizes(), (std::vector<int64_t>{2, 512, 1, 1}));
  EXPECT_EQ(written.at("pooled").sizes(), (std::vector<int64_t>{2, 512}));
  const StateDict gradients = load_tensors(folder_ / "g");
  EXPECT_EQ(gradients.size(), model_->parameters().size() + 1);
  EXPECT_EQ(gradients.at("input").sizes(), input.sizes());
  // The gradient of the cross-entropy's bias sums to 0 over the classes.
  EXPECT_NEAR(gradients.at("fc.bias").sum().item<double>(), 0, 1e-12);
  EXPECT_GT(gradients.at("fc.bias").abs().max().item<double>(), 1e-3);
}

TEST_F(ForwardFile, GradientsAroundABackboneHaveTheModelsNames) {
  options_.model = options_of("cvt_13");
  options_.model.naming = "transformers";
  options_.model.head.name = "q2l";
  const auto model = make_model(options_.model, 1);
  save_tensors(folder_ / "w", state_dict(*model));
  save_tensors(folder_ / "x",
               {{"input", torch::zeros({1, 3, 32, 32})}, {"target", torch::zeros({1, 3})}});
  options_.target = folder_ / "x";
  options_.gradients = folder_ / "g";
  forward_file(options_);
  std::vector<std::string> wanted{"input"}, found;
  for (const auto& item : model->named_parameters()) wanted.push_back(item.key());
  for (const auto& [name, gradient] : load_tensors(folder_ / "g")) found.push_back(name);
  EXPECT_THAT(found, ::testing::UnorderedElementsAreArray(wanted));
}

TEST_F(ForwardFile, RefusesWrongArraysByName) {
  save_tensors(folder_ / "x", {{"image", torch::zeros({1, 3, 8, 8})}});
  EXPECT_THAT(data_error(), HasSubstr("no array \"input\" among 1 (image)"));
  save_tensors(folder_ / "x", {{"input", torch::zeros({3, 8, 8})}});
  EXPECT_THAT(data_error(), HasSubstr("\"input\" is (3, 8, 8) of Float"));
  save_tensors(folder_ / "x", {{"input", torch::zeros({1, 3, 8, 8}, torch::kInt64)}});
  EXPECT_THAT(data_error(), HasSubstr("of Long"));
  save_tensors(folder_ / "x", {{"input", torch::zeros({1, 3, 32, 32})},
                               {"target", torch::full({1}, 3, torch::kInt64)}});
  options_.target = folder_ / "x";
  options_.gradients = folder_ / "g";
  EXPECT_THAT(data_error(), HasSubstr("\"target\" holds class 3, expected 0 to 2"));
  options_.model.name = "tresnet_m";
  EXPECT_THAT(data_error(), HasSubstr("weights do not fit model tresnet_m"));
  save_tensors(folder_ / "w", state_dict(*make_uninitialised_model(options_of("tresnet_m"))));
  save_tensors(folder_ / "x", {{"input", torch::zeros({1, 3, 30, 32})}});
  EXPECT_THAT(data_error(), HasSubstr("must be multiples of 4, at least 20"));
}

}  // namespace
}  // namespace podium::models
