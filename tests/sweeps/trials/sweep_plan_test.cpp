// Plans: what the file says becomes trials; each mistake is named with its line.
#include <gmock/gmock.h>

#include "base/error.h"
#include "tests/sweeps/sweep_fixture.h"

namespace podium::sweeps {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class SweepPlanTest : public SweepFixture {
 protected:
  std::vector<std::string> trial_names() {
    std::vector<std::string> names;
    for (const Trial& trial :
         expand_sweep_plan(load_sweep_plan(root_ / "plan.yaml", {}), root_ / "out")) {
      names.push_back(trial.name);
    }
    return names;
  }
  std::string error_of_plan() {
    try {
      expand_sweep_plan(load_sweep_plan(root_ / "plan.yaml", {}), root_ / "out");
    } catch (const RecipeError& error) {
      return error.what();
    }
    return "no error";
  }
};

TEST_F(SweepPlanTest, AxesMultiplyAndFoldsComeLast) {
  write_plan(
      "axes:\n"
      "  preprocessing: {raw: [], other: [seed=7]}\n"
      "  length: [train.epochs=1, train.epochs=2]\n"
      "exclude:\n"
      "  - {preprocessing: raw, length: '2'}\n"
      "trials:\n"
      "  - {name: extra, set: [seed=9]}\n");
  EXPECT_THAT(trial_names(),
              ElementsAre("raw-1/fold0", "raw-1/fold1", "other-1/fold0", "other-1/fold1",
                          "other-2/fold0", "other-2/fold1", "extra/fold0", "extra/fold1"));
}

// A parameter of an operation is varied by its address; one that no list has is the trial's error.
TEST_F(SweepPlanTest, OperationsAreVariedByTheirAddress) {
  write("recipe.yaml",
        "data: {train_transforms: [{resize: {size: [8]}}, {cutout: {factor: 0.1}}, normalize]}\n");
  write_plan(
      "fold_list: [0]\n"
      "axes:\n"
      "  cutout: [data.train_transforms.cutout.factor=0.1, "
      "data.train_transforms.cutout.factor=0.5, data.train_transforms.hflip.p=0.7]\n");
  const auto trials = expand_sweep_plan(load_sweep_plan(root_ / "plan.yaml", {}), root_ / "out");
  ASSERT_EQ(trials.size(), 3u);
  EXPECT_EQ(trials[1].overrides.at(0), "data.train_transforms.cutout.factor=0.5");
  EXPECT_EQ(trials[0].error + trials[1].error, "");
  EXPECT_NE(trials[0].digest, trials[1].digest);
  EXPECT_THAT(trials[2].error, AllOf(HasSubstr("no operations in the list are called hflip"),
                                     HasSubstr("the list is [resize, cutout, normalize]")));
}

TEST_F(SweepPlanTest, WithoutAxesThePlanIsOneGroup) {
  write_plan("fold_list: [1]\n");
  EXPECT_THAT(trial_names(), ElementsAre("demo/fold1"));
}

TEST_F(SweepPlanTest, FlagsReplaceThePlansPaths) {
  make_data("elsewhere", "other bytes");
  SweepPlanFlags flags;
  flags.data = root_ / "elsewhere";
  flags.overrides = {"seed=3"};
  const SweepPlan plan = load_sweep_plan(root_ / "plan.yaml", flags);
  EXPECT_EQ(plan.data, root_ / "elsewhere");
  EXPECT_EQ(plan.recipe, root_ / "recipe.yaml");
  EXPECT_THAT(plan.groups[1].overrides, ElementsAre("seed=7", "seed=3"));
}

TEST_F(SweepPlanTest, MistakesNameFileAndLine) {
  write_plan("worker: 2\n");
  EXPECT_THAT(error_of_plan(),
              AllOf(HasSubstr("plan.yaml:5: worker: unknown key (did you mean \"workers\"?)")));
  write_plan("workers: 0\n");
  EXPECT_THAT(error_of_plan(), AllOf(HasSubstr("plan.yaml:5: workers"), HasSubstr("found 0")));
  write_plan("axes:\n  a: {x: [novalue]}\n");
  EXPECT_THAT(error_of_plan(), AllOf(HasSubstr("plan.yaml:6"), HasSubstr("expected key=value"),
                                     HasSubstr("novalue")));
  write_plan("axes:\n  a: {x: []}\nexclude:\n  - {b: x}\n");
  EXPECT_THAT(error_of_plan(), AllOf(HasSubstr("plan.yaml:8"), HasSubstr("no axis \"b\"")));
  write_plan("fold_list: [2]\n");
  EXPECT_THAT(error_of_plan(), AllOf(HasSubstr("plan.yaml:5"), HasSubstr("from 0 to 1, found 2")));
  write_plan("metric: val_mapp\n");
  EXPECT_THAT(error_of_plan(), AllOf(HasSubstr("plan.yaml:5: metric: no run writes \"val_mapp\""),
                                     HasSubstr("did you mean \"val_map\"")));
  write_plan("trials:\n  - {name: ../up}\n");
  EXPECT_THAT(error_of_plan(), AllOf(HasSubstr("plan.yaml:6"), HasSubstr("../up")));
}

TEST_F(SweepPlanTest, TwoNamesForOneExperimentAreRefused) {
  write_plan("axes:\n  a: {x: [seed=7], y: [seed=7]}\n");
  EXPECT_THAT(error_of_plan(),
              AllOf(HasSubstr("\"x\""), HasSubstr("\"y\""), HasSubstr("same experiment")));
}

TEST_F(SweepPlanTest, IdentityFollowsRecipeDataFoldsAndFoldOnly) {
  const auto digests = [this] {
    std::vector<std::string> result;
    for (const Trial& trial :
         expand_sweep_plan(load_sweep_plan(root_ / "plan.yaml", {}), root_ / "out")) {
      result.push_back(trial.digest);
    }
    return result;
  };
  const auto before = digests();
  EXPECT_NE(before[0], before[1]);  // fold
  EXPECT_NE(before[0], before[2]);  // override
  // Another number of workers, another way to write the same override: the same experiment.
  write_plan("workers: 2\naxes:\n  preprocessing:\n    raw: []\n    other: [\"seed= 7\"]\n");
  EXPECT_EQ(digests(), before);
  make_data("train", "other data");
  EXPECT_NE(digests()[0], before[0]);
  make_data("train", "train data");
  EXPECT_EQ(digests(), before);
  write("folds.json", R"({"num_folds": 2, "seed": 1})");
  EXPECT_NE(digests()[0], before[0]);
}

TEST_F(SweepPlanTest, UnfinishedDataSetIsRefused) {
  std::filesystem::remove(root_ / "train" / "DONE");
  EXPECT_THROW(expand_sweep_plan(load_sweep_plan(root_ / "plan.yaml", {}), root_ / "out"),
               DataError);
}

}  // namespace
}  // namespace podium::sweeps
