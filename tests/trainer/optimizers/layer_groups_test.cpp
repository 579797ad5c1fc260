// Proves that layer-wise groups equal timm 1.0.24's (layer_groups.json) on one model of each family
// it has, and hand tables of BEiT's rule, CvT and models around a backbone; and that frozen parts
// stay as they are and the rest trains.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>

#include "base/error.h"
#include "base/safetensors_file.h"
#include "models/interface/layer_numbers.h"
#include "models/layers/batch_norm.h"
#include "models/registry.h"
#include "models/weights/weights.h"
#include "tests/trainer/train_test_util.h"
#include "trainer/optimizers/optimizer.h"
#include "trainer/optimizers/parameter_groups.h"
#include "trainer/recipe/model_setup.h"
#include "trainer/recipe/recipe_schema.h"
#include "trainer/recipe/train_options.h"
#include "trainer/record/run_directory.h"
#include "trainer/run/train.h"

namespace podium::trainer {
namespace {

using models::LayerRule;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;
using namespace testing;  // NOLINT: the shapes

std::shared_ptr<models::VisionModel> make(const std::string& name, const std::string& head = "") {
  models::ModelOptions options;
  options.name = name;
  options.num_classes = 5;
  if (!head.empty()) options.head.name = head;
  return models::make_uninitialised_model(options);
}

Recipe recipe_of(const std::string& yaml) {
  return Recipe::from_text(yaml, "r.yaml", recipe_schema());
}

// What timm gives a parameter.
struct Setting {
  double lr_scale, weight_decay;
  bool operator==(const Setting& other) const {
    return std::abs(lr_scale - other.lr_scale) < 1e-15 && weight_decay == other.weight_decay;
  }
};
void PrintTo(const Setting& setting, std::ostream* stream) {
  *stream << setting.lr_scale << ", " << setting.weight_decay;
}

class TimmGroups : public ::testing::TestWithParam<const char*> {};

TEST_P(TimmGroups, LayersAndSettingsOfAllParametersAreEqual) {
  static const auto kCases = nlohmann::json::parse(std::ifstream(
      std::string(PODIUM_SOURCE_DIR) + "/tests/trainer/data_optim/layer_groups.json"));
  std::map<std::string, int64_t> wanted_layers, layers;
  std::map<std::string, Setting> wanted, found;
  for (const auto& group : kCases.at("models").at(GetParam())) {
    for (const std::string name : group.at("names")) {
      wanted[name] = {group.at("lr_scale"), group.at("weight_decay")};
      wanted_layers[name] = group.at("layer");
    }
  }
  const auto model = make(GetParam());
  EXPECT_EQ(models::layer_numbers(*model, LayerRule::kTimm), wanted_layers);
  const Recipe recipe = recipe_of(fmt::format("optimizer: {{layer_decay: {}, weight_decay: {}}}",
                                              kCases.at("layer_decay").get<double>(),
                                              kCases.at("weight_decay").get<double>()));
  for (const ParameterGroup& group : make_parameter_groups(*model, group_options(recipe, *model))) {
    EXPECT_FALSE(group.parameters.empty()) << group.name;
    ASSERT_EQ(group.parameters.size(), group.parameter_names.size());
    for (const std::string& name : group.parameter_names) {
      found[name] = {group.lr_scale, group.weight_decay};
    }
  }
  EXPECT_EQ(found, wanted);
}

INSTANTIATE_TEST_SUITE_P(Models, TimmGroups,
                         ::testing::Values("vit_small_patch14_dinov2",
                                           "vit_small_patch14_reg4_dinov2", "beit_base_patch16_224",
                                           "swinv2_tiny_window8_256",
                                           "swin_tiny_patch4_window7_224", "resnet50",
                                           "efficientnet_b0", "tresnet_m"),
                         [](const auto& test) { return std::string(test.param); });

// Each entry: a part of a model and its layer.
void expect_layers(models::VisionModel& model, LayerRule rule,
                   const std::map<std::string, int64_t>& table) {
  for (const auto& [name, layer] : models::layer_numbers(model, rule)) {
    std::string part = name;
    while (!table.contains(part) && part.find('.') != std::string::npos) {
      part.resize(part.rfind('.'));
    }
    ASSERT_TRUE(table.contains(part)) << name;
    EXPECT_EQ(layer, table.at(part)) << name;
  }
}

// By hand from microsoft/unilm, beit/optim_factory.py (get_num_layer_for_vit) with
// run_class_finetuning.py's depth + 2 values.
TEST(LayerNumbers, BeitsRuleCountsFromTokensToHead) {
  std::map<std::string, int64_t> table{
      {"cls_token", 0}, {"patch_embed", 0}, {"fc_norm", 13}, {"head", 13}};
  for (int block = 0; block < 12; ++block) table["blocks." + std::to_string(block)] = block + 1;
  const auto beit = make("beit_base_patch16_224");
  expect_layers(*beit, LayerRule::kBeit, table);
  table["pos_embed"] = 0;
  table["norm"] = 13;
  const auto vit = make("vit_small_patch14_dinov2");
  expect_layers(*vit, LayerRule::kBeit, table);
  // The first layer learns with decay^(depth + 1).
  const Recipe recipe =
      recipe_of("optimizer: {layer_decay: 0.65, layer_decay_rule: beit, weight_decay: 0.05}");
  const auto groups = make_parameter_groups(*beit, group_options(recipe, *beit));
  EXPECT_EQ(groups.front().name, "layer_0_decay");
  EXPECT_DOUBLE_EQ(groups.front().lr_scale, std::pow(0.65, 13));
  EXPECT_EQ(groups.back().name, "layer_13_no_decay");
  EXPECT_EQ(groups.back().lr_scale, 1.0);
}

// By hand: CvT-13 has 1, 2 and 10 blocks; what opens a stage goes with its first block.
TEST(LayerNumbers, CvtStagesFollowEachOther) {
  std::map<std::string, int64_t> table{
      {"stage0.patch_embed", 0}, {"stage0.blocks.0", 1}, {"stage1.patch_embed", 2},
      {"stage1.blocks.0", 2},    {"stage1.blocks.1", 3}, {"stage2.patch_embed", 4},
      {"stage2.cls_token", 4},   {"norm", 13},           {"head", 14}};
  for (int block = 0; block < 10; ++block) {
    table["stage2.blocks." + std::to_string(block)] = 4 + block;
  }
  const auto model = make("cvt_13");
  expect_layers(*model, LayerRule::kTimm, table);
  table["norm"] = 14;
  expect_layers(*model, LayerRule::kBeit, table);
}

// ResNet-18: stem, 8 blocks, and all that is around them.
TEST(LayerNumbers, HeadsAroundABackboneAreTheLastLayer) {
  const auto table_with = [](const std::string& prefix, std::map<std::string, int64_t> table) {
    table[prefix + "conv1"] = table[prefix + "bn1"] = 0;
    for (int block = 0; block < 8; ++block) {
      table[fmt::format("{}layer{}.{}", prefix, block / 2 + 1, block % 2)] = block + 1;
    }
    return table;
  };
  expect_layers(*make("resnet18", "ml_decoder"), LayerRule::kTimm, table_with("", {{"fc", 9}}));
  expect_layers(*make("resnet18", "q2l"), LayerRule::kTimm,
                table_with("backbone.0.", {{"transformer", 9}, {"query_embed", 9}, {"fc", 9}}));
  expect_layers(*make("resnet18", "q2l_simplified"), LayerRule::kBeit,
                table_with("backbone.",
                           {{"conv", 9}, {"transformer", 9}, {"label_emb", 9}, {"classifier", 9}}));
  expect_layers(*make("fpn_resnet18"), LayerRule::kTimm,
                table_with("encoder.", {{"decoder", 9}, {"segmentation_head", 9}}));
}

TEST(ParameterGroups, NamedExemptionsFollowTheRecipe) {
  const auto model = make("vit_tiny_patch16_224");
  const auto undecayed = [&](const std::string& by_name, double layer_decay) {
    const Recipe recipe = recipe_of(
        fmt::format("optimizer: {{weight_decay: 0.1, layer_decay: {}, no_decay_by_name: {}}}",
                    layer_decay, by_name));
    std::vector<std::string> names;
    for (const auto& group : make_parameter_groups(*model, group_options(recipe, *model))) {
      if (group.weight_decay != 0) continue;
      names.insert(names.end(), group.parameter_names.begin(), group.parameter_names.end());
    }
    return names;
  };
  const auto both = AllOf(Contains("pos_embed"), Contains("cls_token"));
  const auto none = AllOf(Not(Contains("pos_embed")), Not(Contains("cls_token")));
  EXPECT_THAT(undecayed("with_layer_decay", 1), none);
  EXPECT_THAT(undecayed("with_layer_decay", 0.9), both);
  EXPECT_THAT(undecayed("always", 1), both);
  EXPECT_THAT(undecayed("never", 0.9), none);
  EXPECT_THAT(undecayed("never", 0.9), Contains("norm.weight"));
}

TEST(ParameterGroups, WithoutLayerDecayThereAreTheTwoGroupsInOrder) {
  const auto model = make("resnet18");
  const auto groups =
      make_parameter_groups(*model, group_options(recipe_of("optimizer: {}"), *model));
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].parameter_names.front(), "conv1.weight");
  EXPECT_EQ(groups[1].parameter_names.front(), "bn1.weight");
  for (const ParameterGroup& group : groups) EXPECT_EQ(group.lr_scale, 1.0);
}

TEST(TrainingNote, SaysWhatIsFrozenAndHowFarRatesFall) {
  const auto model = make("vit_tiny_patch16_224");
  const auto note = [&](const std::string& optimizer) {
    const Recipe recipe = recipe_of("optimizer: " + optimizer);
    return training_note(*model, make_parameter_groups(*model, group_options(recipe, *model)));
  };
  EXPECT_EQ(note("{}"), "");
  // 14 layers: 0.5^13 is 1/8192.
  const std::string rates = "learning rates by layer are 0.000122 to 1 times optimizer.lr";
  EXPECT_EQ(note("{layer_decay: 0.5, layer_decay_rule: beit}"), "parameters: " + rates);
  freeze_parameters(recipe_of("model: {frozen: [cls_token]}"), *model);
  int64_t num_all = 0;
  for (const torch::Tensor& parameter : model->parameters()) num_all += parameter.numel();
  const std::string frozen = fmt::format("parameters: 192 of {} are frozen", num_all);
  EXPECT_EQ(note("{}"), frozen);
  EXPECT_EQ(note("{layer_decay: 0.5, layer_decay_rule: beit}"), frozen + "; " + rates);
}

// --- frozen parts ---

std::string refusal(const std::string& frozen) {
  const auto model = make("vit_tiny_patch16_224");
  try {
    freeze_parameters(recipe_of("\nmodel: {name: vit_tiny_patch16_224, frozen: " + frozen + "}"),
                      *model);
  } catch (const RecipeError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Frozen, PartIsTakenWholeAndItsNeighbourIsNot) {
  const auto model = make("vit_tiny_patch16_224");
  freeze_parameters(recipe_of("model: {frozen: [blocks.1, patch_embed., cls_token]}"), *model);
  std::vector<std::string> frozen;
  for (const auto& item : model->named_parameters()) {
    if (!item.value().requires_grad()) frozen.push_back(item.key());
  }
  EXPECT_EQ(frozen.size(), 12u + 2u + 1u);  // blocks.10 and blocks.11 train
  EXPECT_THAT(frozen, Each(AnyOf(StartsWith("blocks.1."), StartsWith("patch_embed."),
                                 ::testing::Eq("cls_token"))));
}

TEST(Frozen, UnknownNamesAndNothingToTrainAreRefusedWithTheirPlace) {
  EXPECT_THAT(refusal("[patch_embd]"), AllOf(StartsWith("r.yaml:2: model.frozen: "),
                                             HasSubstr("nothing called \"patch_embd\""),
                                             HasSubstr("did you mean \"patch_embed\"")));
  EXPECT_THAT(refusal("[blocks.1, blocks.12]"), HasSubstr("nothing called \"blocks.12\""));
  EXPECT_THAT(refusal("[block]"), HasSubstr("did you mean \"blocks\""));
  EXPECT_THAT(refusal("[cls_token, pos_embed, patch_embed, blocks, norm, head]"),
              HasSubstr("all 152 parameters"));
}

TEST(Frozen, PartsKeepTheirBytesAndStatisticsAndHaveNoOptimizerState) {
  const TemporaryFolder folder;
  const fs::path data = pack_multi_label(folder.path(), 36);
  make_fold_file(data, 3);
  TrainOptions options = quick_options(
      folder.path(), data,
      quick_recipe("optimizer: {name: adam, lr: 0.01}\ntrain: {epochs: 1, micro_batch_size: 4}\n"));
  models::ModelOptions fresh;
  fresh.name = "resnet18";
  fresh.num_classes = 3;
  const auto start = models::make_model(fresh, 7);
  options.overrides = {"model.name=resnet18",
                       "model.frozen=[conv1, bn1, layer1, layer2.0.bn1.bias]",
                       "model.batch_norm=precise", "train.ema_decay=0.5"};
  train(options);
  const auto first = models::state_dict(*start);
  const RunDirectory directory{options.run_dir};
  const auto last = models::load_tensors(directory.weights());
  const auto is_kept = [&](const std::string& name) {
    return torch::equal(first.at(name), last.at(name));
  };
  for (const char* name : {"conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean",
                           "bn1.running_var", "bn1.num_batches_tracked", "layer1.1.conv2.weight",
                           "layer1.1.bn2.running_var", "layer2.0.bn1.bias"}) {
    EXPECT_TRUE(is_kept(name)) << name;
  }
  for (const char* name :
       {"layer2.0.conv1.weight", "layer2.0.bn1.weight", "layer2.0.bn1.running_mean", "fc.weight"}) {
    EXPECT_FALSE(is_kept(name)) << name;
  }
  const fs::path checkpoint = directory.checkpoints() / names_in(directory.checkpoints()).back();
  const auto state = models::load_tensors(checkpoint / "optimizer.safetensors");
  EXPECT_THAT(state, Contains(Pair("exp_avg.layer2.0.conv1.weight", ::testing::_)));
  for (const auto& [name, tensor] : state) {
    EXPECT_THAT(name, Not(HasSubstr("layer1.")));
    EXPECT_THAT(name, Not(HasSubstr("exp_avg.conv1")));
    EXPECT_NE(name, "exp_avg.layer2.0.bn1.bias");
  }
}

}  // namespace
}  // namespace podium::trainer
