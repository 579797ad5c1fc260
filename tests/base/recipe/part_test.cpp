// Tables of parts: what a recipe may name, the keys that come with it, addresses of operations, and
// an identity that later keys leave alone.
#include "base/recipe/part.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/recipe/recipe.h"
#include "base/recipe/schema_text.h"
#include "base/recipe/table.h"
#include "tests/base/test_support.h"

namespace podium {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

struct ShapeRow : PartInfo {
  int (*num_corners)(const PartSpec&) = nullptr;
};

Schema side_key(double default_side = 1.0) {
  Schema keys;
  keys.add_float("side", default_side, "px", 0, 100, "length of a side");
  return keys;
}

Table<ShapeRow> shapes() {
  Schema star = side_key();
  star.add_int("points", 5, "", 3, 99, "how many");
  return {"shape",
          "shapes",
          {{{"square", "four equal sides", side_key()}, [](const PartSpec&) { return 4; }},
           {{"disc", "no corner"}, [](const PartSpec&) { return 0; }},
           {{"star", "pointed", star, "0.2"},
            [](const PartSpec& spec) { return 2 * static_cast<int>(spec.get_int("points")); }}}};
}

// A recipe's schema with that table and a list of operations.
Schema test_schema(bool is_later = false) {
  Schema schema, crop = side_key(), cut;
  cut.add_float("factor", 0.5, "", 0, 1, "share");
  if (is_later) cut.add_bool("is_round", false, "a disc").since("0.2");
  schema.add_int("seed", 0, "", 0, 9, "of all");
  add_part_keys(&schema, "shape.name", "square", "what is drawn", "shape.", shapes().parts());
  schema.add_op_list("steps", {{{"crop", {{"side", 3}}}}, {{"cut", nlohmann::json::object()}}},
                     "in order", {{"crop", "a part", crop}, {"cut", "a hole", cut}});
  if (is_later) schema.add_float("late", 0.5, "", 0, 1, "came later").since("0.2");
  return schema;
}

Recipe read(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  return Recipe::from_text(yaml, "r.yaml", test_schema(), overrides);
}
std::string refused(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  return message_of<RecipeError>([&] { read(yaml, overrides); });
}

TEST(Table, FindsRowsAndNamesTheNearest) {
  const Table<ShapeRow> table = shapes();
  EXPECT_THAT(table.names(), ElementsAre("square", "disc", "star"));
  EXPECT_EQ(table.find("circle"), nullptr);
  const PartSpec star = part_with_defaults(table.at("star"), {{"points", 7}});
  EXPECT_EQ(table.at("star").num_corners(star), 14);
  EXPECT_THAT(message_of<UsageError>([&] { table.at("sqare"); }),
              HasSubstr("unknown shape \"sqare\" (did you mean \"square\"?); shapes are square, "
                        "disc, star"));
  EXPECT_THAT(message_of<InternalError>([] {
                Table<PartInfo>("shape", "shapes", {PartInfo{"disc"}, PartInfo{"disc"}});
              }),
              HasSubstr("\"disc\" is empty or twice"));
}

TEST(Part, KeysOfRowsStandInTheSchemaOnceAndNameTheirRows) {
  const Schema schema = test_schema();
  ASSERT_NE(schema.find("shape.side"), nullptr);
  EXPECT_THAT(schema.find("shape.side")->parts, ElementsAre("square", "star"));
  EXPECT_EQ(schema.find("shape.side")->since, kFirstVersion) << "an old row has it";
  EXPECT_EQ(schema.find("shape.points")->since, "0.2") << "only the row of 0.2 has it";
  EXPECT_THAT(schema.find("shape.name")->choices, ElementsAre("square", "disc", "star"));
  const Recipe recipe = read("shape: {name: star, side: 2}");
  const Table<ShapeRow> table = shapes();
  const PartSpec spec = recipe.get_part("shape.", table.at(recipe.get_string("shape.name")));
  EXPECT_EQ(spec.parameters, (nlohmann::json{{"points", 5}, {"side", 2.0}}));
  EXPECT_TRUE(recipe.get_part("shape.", table.at("disc")).parameters.empty());
  EXPECT_THAT(message_of<InternalError>([] {
                Schema bad;
                add_part_keys(&bad, "a.name", "x", "", "a.",
                              {{"x", "", side_key(1)}, {"y", "", side_key(2)}});
              }),
              HasSubstr("key a.side of y differs from that of x"));
}

TEST(Recipe, OperationsHaveAddresses) {
  const Recipe recipe = read("steps.cut.factor: 0.25\nsteps: [crop, cut]",
                             {"steps.crop.side=7", "steps.cut.factor=0.125"});
  EXPECT_EQ(recipe.get_ops("steps")[0].get_float("side"), 7);
  EXPECT_EQ(recipe.get_ops("steps")[1].get_float("factor"), 0.125);
  EXPECT_EQ(recipe.place("steps"), "--set steps.cut.factor=0.125");
  EXPECT_EQ(read("steps.cut.factor: 0.25").get_ops("steps")[1].get_float("factor"), 0.25)
      << "of the default list";
  EXPECT_EQ(recipe.digest(), read("steps: [crop: {side: 7}, cut: {factor: 0.125}]").digest());
}

TEST(Recipe, AnAddressThatFitsNoOrSeveralOperationsListsThem) {
  EXPECT_THAT(refused("steps: [crop]", {"steps.cut.factor=0.3"}),
              AllOf(HasSubstr("--set steps.cut.factor=0.3: steps.cut.factor: no operations in the "
                              "list are called cut"),
                    HasSubstr("the list is [crop]")));
  EXPECT_THAT(refused("steps: [cut, crop, cut]\nsteps.cut.factor: 0.3"),
              AllOf(HasSubstr("r.yaml:2: "), HasSubstr("2 operations in the list are called cut"),
                    HasSubstr("the list is [cut, crop, cut]")));
  EXPECT_THAT(refused("", {"steps.cut.facto=0.3"}),
              HasSubstr("unknown parameter facto (did you mean \"factor\"?)"));
  EXPECT_THAT(refused("", {"steps.cut.factor=3"}),
              HasSubstr("cut: factor: expected a float in [0, 1], found 3"));
  EXPECT_THAT(refused("", {"steps.cut=0.3"}), HasSubstr("expected steps.OPERATION.PARAMETER"));
}

TEST(Recipe, KeysThatCameLaterLeaveTheDigestAloneAtTheirDefault) {
  const auto digest = [](const std::string& yaml) {
    return Recipe::from_text(yaml, "r.yaml", test_schema(/*is_later=*/true)).digest();
  };
  const std::string text = "seed: 3\nsteps: [cut: {factor: 0.25}]";
  // What 0.1 hashed: the canonical JSON of all keys that it knew.
  const std::string known =
      R"({"seed":3,"shape.name":"square","shape.side":1.0,"steps":[{"cut":{"factor":0.25}}]})";
  EXPECT_EQ(digest(text), xxh3_128_hex(known));
  EXPECT_EQ(digest(text + "\nlate: 0.5"), digest(text));
  EXPECT_NE(digest(text + "\nlate: 0.6"), digest(text));
  EXPECT_EQ(digest("seed: 3\nsteps: [cut: {factor: 0.25, is_round: false}]"), digest(text));
  EXPECT_NE(digest("seed: 3\nsteps: [cut: {factor: 0.25, is_round: true}]"), digest(text));
  EXPECT_NE(digest(text + "\nshape.points: 6"), digest(text));
}

TEST(Recipe, AnEarlierNameIsReadWithAWarning) {
  Schema schema;
  schema.add_float("rate", 1.0, "", 0, 9, "how fast").alias("speed");
  ::testing::internal::CaptureStderr();
  const Recipe recipe = Recipe::from_text("speed: 3", "r.yaml", schema);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("r.yaml:1: speed is now called rate"));
  EXPECT_EQ(recipe.get_float("rate"), 3);
  EXPECT_THAT(recipe.to_yaml(), AllOf(HasSubstr("rate: 3.0"), Not(HasSubstr("speed"))));
  EXPECT_THAT(
      message_of<RecipeError>([&] { Recipe::from_text("speed: 3\nrate: 4", "r.yaml", schema); }),
      HasSubstr("r.yaml:2: rate: given twice"));
  EXPECT_THAT(message_of<InternalError>([&] { schema.alias("rate"); }), HasSubstr("alias rate"));
}

TEST(SchemaText, OneKeyOneSectionOrOneOperation) {
  const Schema schema = test_schema();
  EXPECT_THAT(help_text(schema, "shape.points"),
              AllOf(HasSubstr("an int in [3, 99]; default 5; since 0.2"),
                    HasSubstr("star: how many"), Not(HasSubstr("shape.name"))));
  EXPECT_THAT(help_text(schema, "shape"),
              AllOf(HasSubstr("shape:\n"), HasSubstr("- star: pointed"),
                    HasSubstr("square, star: length of a side"), Not(HasSubstr("seed"))));
  EXPECT_THAT(help_text(schema, "cut"),
              AllOf(HasSubstr("- cut\n"), HasSubstr("factor"), Not(HasSubstr("side"))));
  EXPECT_THAT(message_of<UsageError>([&] { help_text(schema, "shap"); }),
              HasSubstr("\"shap\" (did you mean \"shape\"?)"));
}

TEST(SchemaText, MarkdownHasATablePerSectionAndPerList) {
  const std::string page = markdown_text(test_schema());
  EXPECT_THAT(page, HasSubstr("| `shape.points` | an int in [3, 99]; default 5; since 0.2 | star: "
                              "how many |\n"));
  EXPECT_THAT(page, HasSubstr("`steps`:\n\n| name | what it is | its keys |\n|---|---|---|\n"
                              "| `crop` | a part | `side`: a float in [0, 100] px; default 1; "
                              "length of a side |\n"));
  EXPECT_THAT(page, HasSubstr("| `disc` | no corner |  |\n"));
}

}  // namespace
}  // namespace podium
