// Proves of the table of heads: each row is described, takes the keys of a recipe, and refuses what
// belongs to others. That each is built and trains: ../registry_test.cpp.
#include "models/heads/head_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"

namespace podium::models {
namespace {

using ::testing::HasSubstr;

std::string usage_error(const std::function<void()>& function) {
  try {
    function();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no error";
}

TEST(HeadTable, EachRowIsDescribedAndTakesItsDefaults) {
  for (const HeadRow& row : head_table().rows()) {
    EXPECT_FALSE(row.help.empty()) << row.name;
    for (const Field& field : row.parameters.fields()) {
      EXPECT_FALSE(field.help.empty()) << row.name << " " << field.key;
      EXPECT_TRUE(field.min && field.max) << row.name << " " << field.key;
    }
    EXPECT_EQ(row.create == nullptr, row.name == "linear") << row.name;
    ModelOptions options;
    options.head = {row.name, {}};
    EXPECT_EQ(complete_head(options).parameters, part_with_defaults(row).parameters) << row.name;
  }
}

TEST(HeadTable, ARecipesKeysKeepTheirNamesAndDefaults) {
  Schema schema;
  add_part_keys(&schema, "model.head", "linear", "head", "model.head_", head_table().parts());
  EXPECT_THAT(schema.keys(), ::testing::ElementsAre("model.head", "model.head_queries",
                                                    "model.head_dim", "model.head_drop_rate"));
  EXPECT_EQ(schema.find("model.head_queries")->default_value, 0);
  EXPECT_EQ(schema.find("model.head_dim")->default_value, 0);
  EXPECT_EQ(schema.find("model.head_drop_rate")->default_value, 0.1);
}

TEST(HeadTable, AHeadTakesItsOwnKeysAndRefusesSizesOfOthers) {
  const PartSpec head = choose_head("q2l", {{"queries", 0}, {"dim", 64}, {"drop_rate", 0.25}});
  EXPECT_EQ(head.parameters, nlohmann::json({{"dim", 64}, {"drop_rate", 0.25}}));
  EXPECT_EQ(choose_head("linear", {{"drop_rate", 0.5}}).parameters, nlohmann::json::object());
  EXPECT_THAT(usage_error([] {
                choose_head("q2l", {{"queries", 4}});
              }),
              HasSubstr("head q2l: queries is 4, but only ml_decoder, learnable_ml_decoder"));
  EXPECT_THAT(usage_error([] { choose_head("q2", {}); }), HasSubstr("did you mean \"q2l\"?"));
}

TEST(HeadTable, ValuesOutOfRangeAreNamed) {
  ModelOptions options;
  options.head = {"q2l", {{"dim", -8}}};
  EXPECT_THAT(usage_error([&] { complete_head(options); }),
              HasSubstr("model resnet50: head q2l: dim is -8, expected a value in [0, "));
  options.head = {"ml_decoder", {{"drop_rate", 1}}};
  EXPECT_THAT(usage_error([&] { complete_head(options); }),
              HasSubstr("drop_rate is 1, expected a value in [0, 0.99]"));
}

}  // namespace
}  // namespace podium::models
