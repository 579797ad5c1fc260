// Proves typing, layering and the round trip of recipes, and the exact place in each error.
#include "base/recipe/recipe.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "tests/base/test_support.h"

namespace podium {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Schema test_schema() {
  Schema hflip, crop;
  hflip.add_float("p", 0.5, "", 0, 1, "Probability.");
  crop.add_int("size", std::nullopt, "px", 1, 4096, "Side.");
  crop.add({.key = "scale", .type = FieldType::kFloatList, .default_value = {0.5, 1}, .min = 0});
  Schema schema;
  schema.add_string("name", "run", "Name of the run.");
  schema.add_float("optimizer.lr", 3e-4, "", 0, 10, "Learning rate.");
  schema.add_string("optimizer.name", "adam", "Which.", {"sgd", "adam", "adamw"});
  schema.add_bool("optimizer.is_fused", true, "Fused.");
  schema.add_int("train.epochs", std::nullopt, "epochs", 1, 1000, "Passes.");
  schema.add({.key = "train.milestones",
              .type = FieldType::kIntList,
              .default_value = nlohmann::json::array(),
              .min = 0});
  schema.add({.key = "train.tags", .type = FieldType::kStringList, .default_value = {"a"}});
  schema.add_op_list("data.transforms", {"hflip"}, "Augmentation.",
                     {{"hflip", "Mirror.", hflip}, {"crop", "Cut.", crop}});
  return schema;
}

Recipe parse(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  return Recipe::from_text(yaml, "r.yaml", test_schema(), overrides);
}

std::string error(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  return message_of<RecipeError>([&] { parse(yaml, overrides); });
}

constexpr const char* kMinimal = "train: {epochs: 2}\n";

TEST(Recipe, ValuesDefaultsAndPlaces) {
  const Recipe recipe = parse(
      "# a comment\nname: \"007\"\noptimizer:\n  lr: 1\n  name: sgd\ntrain:\n  epochs: 3\n"
      "  milestones: [1, 2]\n");
  EXPECT_EQ(recipe.get_string("name"), "007");
  EXPECT_EQ(recipe.get_float("optimizer.lr"), 1.0);
  EXPECT_EQ(recipe.get_string("optimizer.name"), "sgd");
  EXPECT_TRUE(recipe.get_bool("optimizer.is_fused"));
  EXPECT_EQ(recipe.get_int("train.epochs"), 3);
  EXPECT_THAT(recipe.get_ints("train.milestones"), ElementsAre(1, 2));
  EXPECT_THAT(recipe.get_strings("train.tags"), ElementsAre("a"));
  EXPECT_EQ(recipe.place("optimizer.lr"), "r.yaml:4");
  EXPECT_EQ(recipe.place("optimizer.is_fused"), "default");
}

TEST(Recipe, FloatSpellings) {
  for (const char* text : {"1e-3", "1E-3", "0.001", ".001", "+0.001"}) {
    EXPECT_EQ(parse(std::string(kMinimal) + "optimizer.lr: " + text).get_float("optimizer.lr"),
              0.001)
        << text;
  }
}

TEST(Recipe, OpsGetTheirDefaults) {
  const Recipe recipe = parse(
      "train: {epochs: 1}\ndata:\n  transforms:\n    - hflip\n    - crop: {size: 64}\n    - hflip: "
      "{p: 1}\n");
  const auto ops = recipe.get_ops("data.transforms");
  ASSERT_EQ(ops.size(), 3u);
  EXPECT_EQ(ops[0].name, "hflip");
  EXPECT_EQ(ops[0].get_float("p"), 0.5);
  EXPECT_EQ(ops[1].get_int("size"), 64);
  EXPECT_THAT(ops[1].get_floats("scale"), ElementsAre(0.5, 1.0));
  EXPECT_EQ(ops[2].get_float("p"), 1.0);
  EXPECT_THROW(ops[0].get_int("p"), InternalError);
  EXPECT_EQ(parse(kMinimal).get_ops("data.transforms").at(0).get_float("p"), 0.5);
}

TEST(Recipe, UnknownKeysNameLineAndNearest) {
  EXPECT_EQ(error("train: {epochs: 1}\noptimizer:\n  lrr: 1\n"),
            "r.yaml:3: optimizer.lrr: unknown key (did you mean \"optimizer.lr\"?)");
  EXPECT_EQ(error("train: {epochs: 1}\n\nlr: 1\n"),
            "r.yaml:3: lr: unknown key (did you mean \"optimizer.lr\"?)");
  EXPECT_EQ(error("banana: 1\n"), "r.yaml:1: banana: unknown key");
}

TEST(Recipe, WrongTypesNameLineExpectationAndFound) {
  EXPECT_EQ(error("train:\n  epochs: 2.0\n"),
            "r.yaml:2: train.epochs: expected an int in [1, 1000] epochs, found 2.0");
  EXPECT_EQ(error("optimizer: {lr: fast}\n"),
            "r.yaml:1: optimizer.lr: expected a float in [0, 10], found \"fast\"");
  EXPECT_EQ(error("name: 12\n"), "r.yaml:1: name: expected a string, found 12; quote it");
  EXPECT_EQ(error("optimizer:\n  is_fused: yes\n"),
            "r.yaml:2: optimizer.is_fused: expected true or false, found \"yes\"");
  EXPECT_EQ(error("train: {milestones: 3}\n"),
            "r.yaml:1: train.milestones: expected a list of ints, found 3");
  EXPECT_EQ(error("train:\n  milestones:\n  - 1\n  - x\n"),
            "r.yaml:4: train.milestones: element 2: expected an int >= 0, found \"x\"");
  EXPECT_EQ(error("optimizer: 3\n"),
            "r.yaml:1: optimizer: expected a section with the keys optimizer.lr, optimizer.name, "
            "optimizer.is_fused, found 3");
  EXPECT_EQ(error("train:\n  epochs:\n"),
            "r.yaml:2: train.epochs: expected an int in [1, 1000] epochs, found nothing");
}

TEST(Recipe, RangesAndChoices) {
  EXPECT_EQ(error("train:\n  epochs: 0\n"),
            "r.yaml:2: train.epochs: expected an int in [1, 1000] epochs, found 0");
  EXPECT_EQ(error("optimizer.lr: .nan\n"),
            "r.yaml:1: optimizer.lr: expected a float in [0, 10], found .nan");
  EXPECT_EQ(error("optimizer.name: admaw\n"),
            "r.yaml:1: optimizer.name: expected one of sgd, adam, adamw, found \"admaw\" (did you "
            "mean \"adamw\"?)");
}

TEST(Recipe, BadOperations) {
  const std::string head = "train: {epochs: 1}\ndata:\n  transforms:\n";
  EXPECT_EQ(
      error(head + "    - hflp\n"),
      "r.yaml:4: data.transforms: unknown operation hflp (did you mean \"hflip\"?); operations "
      "are hflip, crop");
  EXPECT_EQ(error(head + "    - hflip\n    - hflip: {p: 2}\n"),
            "r.yaml:5: data.transforms: hflip: p: expected a float in [0, 1], found 2");
  EXPECT_EQ(error(head + "    - hflip:\n        q: 2\n"),
            "r.yaml:5: data.transforms: hflip: unknown parameter q; parameters are p");
  EXPECT_EQ(error(head + "    - crop\n"),
            "r.yaml:4: data.transforms: crop: size must be given (an int in [1, 4096] px: Side.)");
  EXPECT_EQ(
      error(head + "    - 3\n"),
      "r.yaml:4: data.transforms: expected an operation `name` or `name: {key: value}`, found 3");
}

TEST(Recipe, KeysGivenTwice) {
  EXPECT_EQ(error("name: a\ntrain: {epochs: 1}\nname: b\n"),
            "r.yaml:3: name: given twice; remove one");
  EXPECT_EQ(error("optimizer:\n  lr: 1\n  lr: 1\n"), "r.yaml:3: lr: given twice; remove one");
  EXPECT_EQ(error("optimizer: {lr: 1}\noptimizer.lr: 1\n"),
            "r.yaml:2: optimizer.lr: given twice; remove one");
}

TEST(Recipe, MissingRequiredKey) {
  EXPECT_EQ(error("name: a\n"), "r.yaml: train.epochs: must be given (an int: Passes.)");
  EXPECT_EQ(error(""), "r.yaml: train.epochs: must be given (an int: Passes.)");
}

TEST(Recipe, BadYaml) {
  EXPECT_THAT(error("name: a\ntrain: [1\n"),
              testing::ContainsRegex("^r.yaml:[23]: not valid YAML: "));
  EXPECT_EQ(error("- a\n"), "r.yaml:1: expected keys with values, found a list");
  EXPECT_THAT(error("name: a\n---\nname: b\n"), HasSubstr("a second document starts here"));
}

TEST(Recipe, OverridesWinAndAreNamed) {
  const Recipe recipe = parse(
      kMinimal, {"optimizer.lr=1e-2", "train.epochs=7", "name=123", "train.milestones=[1, 2]",
                 "data.transforms=[{hflip: {p: 0.25}}, {crop: {size: 8}}]", "train.tags=[x, y]"});
  EXPECT_EQ(recipe.get_float("optimizer.lr"), 0.01);
  EXPECT_EQ(recipe.get_int("train.epochs"), 7);
  EXPECT_EQ(recipe.get_string("name"), "123");
  EXPECT_THAT(recipe.get_ints("train.milestones"), ElementsAre(1, 2));
  EXPECT_THAT(recipe.get_strings("train.tags"), ElementsAre("x", "y"));
  EXPECT_EQ(recipe.get_ops("data.transforms").at(0).get_float("p"), 0.25);
  EXPECT_EQ(recipe.place("train.epochs"), "--set train.epochs=7");
}

TEST(Recipe, BadOverrides) {
  EXPECT_EQ(error(kMinimal, {"optimizer.lrr=1"}),
            "--set optimizer.lrr=1: optimizer.lrr: unknown key (did you mean \"optimizer.lr\"?)");
  EXPECT_EQ(
      error(kMinimal, {"train.epochs=many"}),
      "--set train.epochs=many: train.epochs: expected an int in [1, 1000] epochs, found \"many\"");
  EXPECT_EQ(error(kMinimal, {"train.epochs"}), "--set train.epochs: expected KEY=VALUE");
  EXPECT_THAT(error(kMinimal, {"train.milestones=[1"}),
              HasSubstr("--set train.milestones=[1: value:1: not valid YAML"));
}

TEST(Recipe, FailNamesPlaceAndKey) {
  const Recipe recipe = parse("train:\n  epochs: 5\n");
  EXPECT_EQ(message_of<RecipeError>([&] { recipe.fail("train.epochs", "too many"); }),
            "r.yaml:2: train.epochs: too many");
}

TEST(Recipe, AskingForAnotherTypeIsOurBug) {
  const Recipe recipe = parse(kMinimal);
  EXPECT_THROW(recipe.get_float("train.epochs"), InternalError);
  EXPECT_THROW(recipe.get_int("optimizer.lr"), InternalError);
  EXPECT_THROW(recipe.get_int("missing"), InternalError);
}

TEST(Recipe, YamlRoundTrip) {
  const Recipe recipe = parse(
      "name: \"yes: #1\\n\"\noptimizer.lr: 0.1\ntrain: {epochs: 2, tags: [\"1\", 'null', on, ü, "
      "plain]}\n"
      "data: {transforms: [hflip, {crop: {size: 5, scale: [0.1, 1]}}]}\n");
  const std::string yaml = recipe.to_yaml();
  const Recipe again = Recipe::from_text(yaml, "again", test_schema());
  EXPECT_EQ(again.values(), recipe.values()) << yaml;
  EXPECT_EQ(again.to_yaml(), yaml);
  EXPECT_EQ(again.digest(), recipe.digest());
}

TEST(Recipe, YamlIsNestedInSchemaOrder) {
  EXPECT_EQ(
      parse(kMinimal, {"optimizer.lr=1"}).to_yaml(),
      "name: run\noptimizer:\n  lr: 1.0\n  name: adam\n  is_fused: true\ntrain:\n  epochs: 2\n"
      "  milestones: []\n  tags: [a]\ndata:\n  transforms:\n    - hflip: {p: 0.5}\n");
}

TEST(Recipe, YamlFloatsAreFloatsForOldReadersToo) {
  EXPECT_THAT(parse(kMinimal).to_yaml(), HasSubstr("lr: 3.0e-04\n"));
  EXPECT_EQ(
      Recipe::from_text(parse(kMinimal).to_yaml(), "r", test_schema()).get_float("optimizer.lr"),
      3e-4);
}

TEST(Recipe, DigestDependsOnValuesOnly) {
  const Recipe recipe = parse(kMinimal);
  EXPECT_EQ(recipe.digest(), parse("train.epochs: 2\noptimizer: {lr: 0.0003}").digest());
  EXPECT_EQ(parse(kMinimal, {"optimizer.lr=1"}).digest(),
            parse(kMinimal, {"optimizer.lr=1.0"}).digest());
  EXPECT_NE(recipe.digest(), parse(kMinimal, {"train.epochs=3"}).digest());
  EXPECT_EQ(recipe.digest().size(), 32u);
}

TEST(Recipe, ExtendsLoadsTheBaseFirst) {
  const TempFolder folder;
  std::filesystem::create_directories(folder / "sub");
  folder.write("base.yaml", "train: {epochs: 1}\noptimizer:\n  lr: 0.5\n");
  const auto file = folder.write(
      "sub/r.yaml", "optimizer: {name: sgd}\nextends: ../base.yaml\ntrain.epochs: 9\n");
  const Recipe recipe = Recipe::load(file, test_schema());
  EXPECT_EQ(recipe.get_int("train.epochs"), 9);
  EXPECT_EQ(recipe.get_float("optimizer.lr"), 0.5);
  EXPECT_EQ(recipe.get_string("optimizer.name"), "sgd");
  EXPECT_EQ(recipe.place("optimizer.lr"), (folder / "sub/../base.yaml").string() + ":3");
  EXPECT_EQ(recipe.place("train.epochs"), file.string() + ":3");
}

TEST(Recipe, ExtendsProblems) {
  const TempFolder folder;
  const auto self = folder.write("self.yaml", "extends: self.yaml\n");
  EXPECT_THAT(message_of<RecipeError>([&] { Recipe::load(self, test_schema()); }),
              HasSubstr("self.yaml:1: " + self.string() + ": extends itself"));
  const auto lost = folder.write("lost.yaml", "\nextends: nowhere.yaml\n");
  EXPECT_THAT(message_of<IoError>([&] { Recipe::load(lost, test_schema()); }),
              HasSubstr("lost.yaml:2: cannot read " + (folder / "nowhere.yaml").string()));
  const auto list = folder.write("list.yaml", "extends: [a]\n");
  EXPECT_THAT(message_of<RecipeError>([&] { Recipe::load(list, test_schema()); }),
              HasSubstr("list.yaml:1: extends: expected a file name, found a list"));
  EXPECT_THAT(message_of<IoError>([&] { Recipe::load("/missing/r.yaml", test_schema()); }),
              HasSubstr("cannot read /missing/r.yaml"));
}

TEST(YamlToJson, CoreTypes) {
  EXPECT_EQ(
      yaml_to_json("a: 1\nb: [1.5, '1', true, ~, 0x1F, 0o17, 1e3, abc, yes]\nc: {d: \"x\"}\n", "p"),
      nlohmann::json::parse(
          R"({"a": 1, "b": [1.5, "1", true, null, 31, 15, 1000.0, "abc", "yes"], "c": {"d": "x"}})"));
  EXPECT_TRUE(yaml_to_json("", "p").is_null());
}

TEST(YamlToJson, ErrorsHaveLines) {
  EXPECT_EQ(message_of<RecipeError>([] { yaml_to_json("a:\n  b: 1\n  b: 2\n", "plan.yaml"); }),
            "plan.yaml:3: b: given twice; remove one");
  EXPECT_THAT(message_of<RecipeError>([] { yaml_to_json("a: &x\n  - *x\n", "plan.yaml"); }),
              HasSubstr("plan.yaml:"));
}

}  // namespace
}  // namespace podium
