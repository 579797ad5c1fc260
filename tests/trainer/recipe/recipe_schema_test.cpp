// The training recipe: defaults resolve, and values that do not fit are refused with their place.
#include "trainer/recipe/recipe_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/recipe/schema_text.h"
#include "data_shards/transform/transforms.h"
#include "tests/message_of.h"
#include "trainer/recipe/optimization_keys.h"
#include "trainer/recipe/train_settings.h"
#include "trainer/run/train.h"

namespace podium::trainer {
namespace {

using data_shards::Task;
using ::testing::HasSubstr;

Recipe recipe_of(const std::string& yaml) {
  return Recipe::from_text(yaml, "r.yaml", recipe_schema());
}

TEST(RecipeSchema, DefaultsAreTheBaselineAndRoundTrip) {
  const Recipe recipe = recipe_of("");
  EXPECT_EQ(recipe.get_string("model.name"), "resnet50");
  EXPECT_EQ(recipe.get_float("optimizer.lr"), 3e-4);
  EXPECT_EQ(recipe.get_int("logical_workers"), 8);
  EXPECT_EQ(train_settings(recipe).global_batch_size(), 32);
  EXPECT_EQ(Recipe::from_text(recipe.to_yaml(), "again", recipe_schema()).digest(),
            recipe.digest());
}

// The digests are those of revision 2835783, before parts had tables: an experiment that was run
// then is the same one now.
TEST(RecipeSchema, ExistingRecipesKeepTheirIdentity) {
  const std::string folder = PODIUM_SOURCE_DIR "/recipes/";
  const auto digest_of = [&](const std::string& file) {
    return Recipe::load(folder + file, recipe_schema()).digest();
  };
  EXPECT_EQ(digest_of("s5_quick.yaml"), "29c8db0731cd93f804a69119954d1117");
  EXPECT_EQ(digest_of("s5_resnet50.yaml"), "574f6ff5015c6a39e341141b032fca33");
  EXPECT_EQ(digest_of("buildings_quick.yaml"), "853522561af42e8e69fadd636bf762d9");
  EXPECT_EQ(recipe_of("").digest(), "99422a111354668127994cece260098a");
  const std::string other =
      "loss: {name: iou_cross_entropy, iou_weight: 0.7}\n"
      "optimizer: {name: sgd, nesterov: true}\nschedule: {name: cosine, min_lr: 1.0e-5}\n";
  EXPECT_EQ(recipe_of(other).digest(), "1c2a85350869e01478a739d84d928019");
}

TEST(RecipeSchema, DefaultTransformsGiveAPipeline) {
  const Recipe recipe = recipe_of("");
  for (const char* key : {"data.train_transforms", "data.eval_transforms"}) {
    const data_shards::TransformPipeline pipeline(recipe.get_ops(key));
    EXPECT_EQ(pipeline.channels(), 3);
    EXPECT_EQ(pipeline.output_size(), (std::array<int64_t, 2>{224, 224}));
  }
  // Spelt out or not, it is the same experiment.
  EXPECT_EQ(recipe_of("data: {eval_transforms: [{resize: {size: [224]}}, normalize]}").digest(),
            recipe.digest());
}

TEST(RecipeSchema, EveryKeyHasHelp) {
  const std::string help = help_text(recipe_schema());
  for (const Field& field : recipe_schema().fields()) {
    EXPECT_FALSE(field.help.empty()) << field.key;
    EXPECT_THAT(help, HasSubstr(field.key.substr(field.key.find('.') + 1)));
  }
}

TEST(RecipeSchema, LogicalWorkersMustBeAPowerOfTwo) {
  EXPECT_EQ(
      message_of<RecipeError>([] { train_settings(recipe_of("seed: 1\nlogical_workers: 6\n")); }),
      "r.yaml:2: logical_workers: expected a power of two, found 6");
}

TEST(RecipeSchema, UnknownKeyAndModelNameTheNearest) {
  EXPECT_THAT(message_of<RecipeError>([] { recipe_of("optimizer: {lrr: 1.0}"); }),
              HasSubstr("did you mean \"optimizer.lr\""));
  EXPECT_THAT(message_of<RecipeError>([] { recipe_of("model: {name: resnet51}"); }),
              HasSubstr("resnet50"));
}

TEST(RecipeSchema, LossMustFitTheTask) {
  const Recipe bce = recipe_of("loss: {name: bce}");
  EXPECT_EQ(loss_options(bce, Task::kMultiLabel, 5).name, "bce");
  EXPECT_EQ(loss_options(bce, Task::kSegmentation, 2).name, "bce");
  EXPECT_THAT(message_of<RecipeError>([&] { loss_options(bce, Task::kSingleLabel, 5); }),
              ::testing::AllOf(HasSubstr("r.yaml:1: loss.name"), HasSubstr("single_label"),
                               HasSubstr("use cross_entropy")));
  EXPECT_THAT(message_of<RecipeError>([&] { loss_options(bce, Task::kSegmentation, 3); }),
              HasSubstr("3 classes"));
  const Recipe iou = recipe_of("loss: {name: iou_cross_entropy}");
  EXPECT_EQ(loss_options(iou, Task::kSegmentation, 3).get_float("iou_weight"), 0.4);
  EXPECT_THAT(message_of<RecipeError>([&] { loss_options(iou, Task::kMultiLabel, 3); }),
              HasSubstr("use bce"));
  EXPECT_THAT(message_of<RecipeError>([&] { loss_options(iou, Task::kSingleLabel, 3); }),
              HasSubstr("use cross_entropy"));
}

TEST(RecipeSchema, WarmupIsCountedInStepsAndMustEndWithinTheRun) {
  const Recipe recipe = recipe_of(
      "train: {epochs: 4}\nschedule: {name: cosine, warmup_epochs: 0.5, min_lr: 1.0e-6}\n");
  const ScheduleOptions options = schedule_options(recipe, 10);
  EXPECT_EQ(options.total_steps, 40);
  EXPECT_EQ(options.warmup_steps, 5);
  EXPECT_EQ(options.schedule.get_float("min_lr"), 1e-6);
  EXPECT_THAT(message_of<RecipeError>([] {
                schedule_options(recipe_of("train: {epochs: 4}\nschedule: {warmup_epochs: 5}"), 10);
              }),
              HasSubstr("50 steps of warm-up, but the run has 40"));
}

}  // namespace
}  // namespace podium::trainer
