// Proves that DINOv2's and BEiT's weights go to the other published namings and back unchanged, and
// under which names. Names: state_dict() of transformers 5.23.0 (as save_pretrained writes them)
// and of facebookresearch/dinov2.
#include "models/backbones/vit_naming.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "models/backbones/beit.h"
#include "models/backbones/vit.h"
#include "models/weights/naming.h"
#include "models/weights/weights.h"
#include "parameter_rule.h"

namespace podium::models {
namespace {

using ::testing::HasSubstr;

StateDict weights_of(VisionModel& model) {
  testing::fill_by_rule(model);
  StateDict result;
  for (const auto& [name, tensor] : state_dict(model)) result[name] = tensor.detach();
  return result;
}

StateDict dinov2(const std::string& name) {
  VitLayout layout = vit_layout(name);
  layout.depth = 1;
  layout.image_size = 28;
  layout.num_channels = 48;
  layout.num_heads = 6;
  layout.num_hidden = 192;
  ModelOptions options;
  options.num_classes = 3;
  Vit model(options, layout);
  return weights_of(model);
}

StateDict beit() {
  ModelOptions options;
  options.num_classes = 3;
  Beit model(options, {.num_channels = 48, .depth = 1, .num_heads = 6, .image_size = 32});
  return weights_of(model);
}

void expect_equal(const StateDict& found, const StateDict& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (const auto& [name, tensor] : wanted) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_TRUE(torch::equal(found.at(name), tensor)) << name;
  }
}

TEST(VitNaming, EveryNamingGoesThereAndBack) {
  for (const char* name :
       {"vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_giant_patch14_dinov2"}) {
    const StateDict own = dinov2(name);
    for (const Naming& naming : dinov2_namings()) {
      if (naming.to_own == nullptr) continue;
      SCOPED_TRACE(std::string(name) + " " + naming.name);
      expect_equal(naming.to_own(naming.from_own(own)), own);
    }
  }
  const StateDict own = beit();
  const Naming transformers = beit_namings()[1];
  expect_equal(transformers.to_own(transformers.from_own(own)), own);
}

TEST(VitNaming, FilesAreToldByTheirNames) {
  for (const char* model : {"vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2"}) {
    const StateDict own = dinov2(model);
    for (const Naming& naming : dinov2_namings()) {
      const StateDict file = naming.from_own == nullptr ? own : naming.from_own(own);
      EXPECT_EQ(find_naming_of(model, file), naming.name) << model;
    }
  }
  EXPECT_EQ(find_naming_of("beit_base_patch16_224", beit()), "timm");
  EXPECT_EQ(find_naming_of("beit_base_patch16_224", beit_namings()[1].from_own(beit())),
            "transformers");
}

TEST(VitNaming, TransformersSplitsTheProjections) {
  const StateDict own = dinov2("vit_small_patch14_dinov2");
  const StateDict theirs = dinov2_namings()[1].from_own(own);
  const std::string block = "dinov2.encoder.layer.0.";
  for (const char* name :
       {"norm1.weight", "attention.attention.query.weight", "attention.attention.key.bias",
        "attention.output.dense.weight", "layer_scale1.lambda1", "norm2.bias", "mlp.fc1.weight",
        "mlp.fc2.bias", "layer_scale2.lambda1"}) {
    EXPECT_TRUE(theirs.contains(block + name)) << name;
  }
  for (const char* name : {"dinov2.embeddings.cls_token", "dinov2.embeddings.mask_token",
                           "dinov2.embeddings.position_embeddings",
                           "dinov2.embeddings.patch_embeddings.projection.bias",
                           "dinov2.layernorm.weight", "classifier.weight"}) {
    EXPECT_TRUE(theirs.contains(name)) << name;
  }
  EXPECT_EQ(theirs.size(), 27u);  // 18 of the block, 5 before, 4 after
  EXPECT_TRUE(torch::equal(theirs.at(block + "attention.attention.value.weight"),
                           own.at("blocks.0.attn.qkv.weight").slice(0, 96)));
  EXPECT_EQ(theirs.at("dinov2.embeddings.mask_token").sizes(), (std::vector<int64_t>{1, 48}));
}

TEST(VitNaming, OfficialFilesMayBeChunkedAndGated) {
  StateDict theirs = dinov2_namings()[2].from_own(dinov2("vit_giant_patch14_dinov2"));
  EXPECT_TRUE(theirs.contains("blocks.0.mlp.w12.weight") && theirs.contains("linear_head.bias"));
  EXPECT_TRUE(theirs.contains("blocks.0.mlp.w3.bias"));
  const torch::Tensor gamma = theirs.extract("blocks.0.ls1.gamma").mapped();
  theirs["blocks.2.0.ls1.gamma"] = gamma;
  EXPECT_TRUE(torch::equal(dinov2_namings()[2].to_own(theirs).at("blocks.0.ls1.gamma"), gamma));
}

// The class token's position is added to the token, as in timm's conversion.
TEST(VitNaming, RegistersTakeTheClassTokensPosition) {
  const StateDict own = dinov2("vit_small_patch14_reg4_dinov2");
  const Naming official = dinov2_namings()[2];
  StateDict theirs = official.from_own(own);
  EXPECT_EQ(theirs.at("pos_embed").sizes(), (std::vector<int64_t>{1, 5, 48}));
  EXPECT_TRUE(theirs.contains("register_tokens"));
  theirs["pos_embed"] = theirs.at("pos_embed") + 1;
  const StateDict back = official.to_own(theirs);
  EXPECT_TRUE(torch::equal(back.at("cls_token"), own.at("cls_token") + 1));
  EXPECT_TRUE(torch::equal(back.at("pos_embed"), own.at("pos_embed") + 1));
  const StateDict gradients = official.gradients_from_own(own);
  EXPECT_FALSE(gradients.contains("mask_token"));
  EXPECT_TRUE(torch::equal(gradients.at("pos_embed").slice(1, 0, 1), own.at("cls_token")));
}

TEST(VitNaming, BeitHasNoKeyBias) {
  const StateDict theirs = beit_namings()[1].from_own(beit());
  const std::string block = "beit.encoder.layer.0.";
  for (const char* name :
       {"lambda_1", "lambda_2", "layernorm_before.weight", "layernorm_after.bias",
        "attention.attention.query.weight", "attention.attention.query.bias",
        "attention.attention.key.weight", "attention.attention.value.bias",
        "attention.attention.relative_position_bias.relative_position_bias_table",
        "attention.output.dense.bias", "intermediate.dense.weight", "output.dense.weight"}) {
    EXPECT_TRUE(theirs.contains(block + name)) << name;
  }
  EXPECT_FALSE(theirs.contains(block + "attention.attention.key.bias"));
  EXPECT_TRUE(theirs.contains("beit.pooler.layernorm.weight") &&
              theirs.contains("classifier.bias"));
}

TEST(VitNaming, HalfAProjectionIsNamed) {
  StateDict theirs = beit_namings()[1].from_own(beit());
  theirs.erase("beit.encoder.layer.0.attention.attention.key.weight");
  try {
    beit_namings()[1].to_own(theirs);
    FAIL() << "no error";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("blocks.0.attention.attention.key.weight is not"));
  }
}

}  // namespace
}  // namespace podium::models
