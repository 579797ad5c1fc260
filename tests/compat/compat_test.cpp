// This build on what each release left in tests/compat: opens, continues, predicts, repeats,
// gathers. The folders: tests/compat/README.md.
#include <gmock/gmock.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/recipe/recipe.h"
#include "tests/e2e/podium_fixture.h"
#include "trainer/recipe/recipe_schema.h"

namespace podium {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// Probabilities of the same model on another processor, or after a change of `numerics`.
constexpr double kOtherHardware = 1e-3;
// Sums over the same stored probabilities.
constexpr double kSameNumbers = 1e-6;

std::vector<std::string> releases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(PODIUM_SOURCE_DIR "/tests/compat")) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Compat : public PodiumFixture, public testing::WithParamInterface<std::string> {
 protected:
  void SetUp() override {
    // A test's name holds a "/", which is no part of a folder's name.
    root_ = fs::path(testing::TempDir()) / ("podium-compat-" + std::to_string(::getpid()));
    fs::remove_all(root_);
    fs::copy(fs::path(PODIUM_SOURCE_DIR "/tests/compat") / GetParam(), root_,
             fs::copy_options::recursive);
  }
  void continue_the_stopped_run() {
    succeed({"train", flag("recipe", "recipe.yaml"), flag("data", "data/train"),
             flag("folds", "folds.json"), "--fold=1", flag("run_dir", "runs/stopped"),
             "--trial_name=compat/fold1", "--device=cpu"});
  }
  // `sets` of both folds, comma-separated; with `test` also a submission in OUTPUT.
  void gather(const std::string& oof, const std::string& test, const std::string& output) {
    std::vector<std::string> words = {"gather", "--oof=" + oof, flag("output", output)};
    if (!test.empty()) {
      words.push_back("--test=" + test);
      words.push_back(flag("sample_submission", "submission/sample_submission.csv"));
    }
    succeed(words);
  }
  void expect_same_submission(const std::string& name, double tolerance) const {
    const auto then = split(trim(read_file(root_ / "submission/submission.csv")), '\n');
    const auto now = split(trim(read_file(root_ / name)), '\n');
    ASSERT_EQ(now.size(), then.size());
    EXPECT_EQ(now[0], then[0]);
    for (size_t row = 1; row < then.size(); ++row) {
      const auto then_cells = split(then[row], ','), now_cells = split(now[row], ',');
      ASSERT_EQ(now_cells.size(), then_cells.size()) << now[row];
      EXPECT_EQ(now_cells[0], then_cells[0]);
      for (size_t i = 1; i < then_cells.size(); ++i) {
        EXPECT_NEAR(std::stod(now_cells[i]), std::stod(then_cells[i]), tolerance)
            << now_cells[0] << ", column " << i;
      }
    }
  }
};

TEST_P(Compat, DataSetsAreIntact) {
  for (const char* name : {"data/train", "data/test"}) succeed({"verify", flag("data", name)});
}

TEST_P(Compat, RecipesKeepTheirDigests) {
  for (const char* run : {"finished", "stopped"}) {
    const auto manifest = json(std::string("runs/") + run + "/manifest.json");
    const std::string digest = manifest["identity"]["recipe_digest"];
    EXPECT_EQ(Recipe::load(path("recipe.yaml"), trainer::recipe_schema()).digest(), digest);
    EXPECT_EQ(Recipe::from_text(manifest["recipe_yaml"], "manifest.json", trainer::recipe_schema())
                  .digest(),
              digest);
  }
}

TEST_P(Compat, TheStoppedRunGoesOnFromItsCheckpoint) {
  const int64_t stopped_at =
      json("runs/stopped/checkpoints/" +
           fs::directory_iterator(root_ / "runs/stopped/checkpoints")->path().filename().string() +
           "/state.json")["global_step"];
  ASSERT_GT(stopped_at, 0);
  ASSERT_NO_FATAL_FAILURE(continue_the_stopped_run());
  const auto manifest = json("runs/stopped/manifest.json");
  ASSERT_EQ(manifest["starts"].size(), 2u);
  EXPECT_EQ(manifest["starts"][1]["global_step"], stopped_at);
  EXPECT_EQ(manifest["epochs"].size(), manifest["recipe"]["train.epochs"]);
  ASSERT_NO_FATAL_FAILURE(
      succeed({"predict", flag("run", "runs/stopped"), flag("data", "data/test"), "--device=cpu"}));
  ASSERT_NO_FATAL_FAILURE(gather(path("runs/finished") + "," + path("runs/stopped"),
                                 path("runs/finished") + "," + path("runs/stopped"), "gathered"));
  expect_same_submission("gathered/submission.csv", kOtherHardware);
}

TEST_P(Compat, TheFinishedRunPredictsAsItDid) {
  for (const char* split : {"val", "test"}) {
    ASSERT_NO_FATAL_FAILURE(
        succeed({"predict", flag("run", "runs/finished"), std::string("--split=") + split,
                 flag("data", split == std::string("val") ? "data/train" : "data/test"),
                 flag("output", split), "--device=cpu"}));
  }
  ASSERT_NO_FATAL_FAILURE(gather(path("val") + "," + path("predictions/fold1/oof"),
                                 path("test") + "," + path("predictions/fold1/test"), "gathered"));
  expect_same_submission("gathered/submission.csv", kOtherHardware);
}

// A change of bits without a change of base/version.h's kNumerics fails here.
TEST_P(Compat, TheFinishedRunHasTheBitsThatItHad) {
  const PodiumResult result =
      podium_run({"rerun", flag("manifest", "runs/finished/manifest.json"),
                  flag("data", "data/train"), flag("output", "again"), "--device=cpu"});
  if (result.code == 2) {
    ASSERT_THAT(result.err, HasSubstr("bits are not promised here"));
    GTEST_SKIP() << "other hardware, libraries or numerics than the release's:\n" << result.err;
  }
  EXPECT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr("verdict: equal"));
}

TEST_P(Compat, PredictionSetsAreGathered) {
  ASSERT_NO_FATAL_FAILURE(gather(path("runs/finished") + "," + path("predictions/fold1/oof"),
                                 path("runs/finished") + "," + path("predictions/fold1/test"),
                                 "gathered"));
  expect_same_submission("gathered/submission.csv", kSameNumbers);
  EXPECT_NEAR(json("gathered/scores.json")["ensemble"]["score"].get<double>(),
              json("submission/scores.json")["ensemble"]["score"].get<double>(), kSameNumbers);
}

TEST_P(Compat, MasksAreGathered) {
  ASSERT_NO_FATAL_FAILURE(gather(
      path("predictions/masks_fold0") + "," + path("predictions/masks_fold1"), "", "gathered"));
  const auto scores = json("gathered/scores.json");
  EXPECT_EQ(scores["task"], "segmentation");
  EXPECT_EQ(scores["num_samples"], 8);
  EXPECT_TRUE(std::isfinite(scores["ensemble"]["score"].get<double>()));
}

INSTANTIATE_TEST_SUITE_P(Release, Compat, testing::ValuesIn(releases()), [](const auto& release) {
  std::string name = release.param;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

}  // namespace
}  // namespace podium
