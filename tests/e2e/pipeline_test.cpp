// From drawn images to a submission, by the commands a user gives.
#include <gmock/gmock.h>

#include <cmath>

#include "tests/e2e/podium_fixture.h"

namespace podium {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class Pipeline : public PodiumFixture {};

TEST_F(Pipeline, PackSplitTrainPredictGather) {
  ASSERT_NO_FATAL_FAILURE(make_data());
  ASSERT_NO_FATAL_FAILURE(succeed({"verify", flag("data", "shards/train")}));
  ASSERT_NO_FATAL_FAILURE(succeed(launch(2, "run")));
  ASSERT_NO_FATAL_FAILURE(succeed({"predict", flag("run", "run"), flag("data", "shards/test")}));
  ASSERT_NO_FATAL_FAILURE(succeed({"gather", flag("oof", "run"), flag("test", "run"),
                                   flag("sample_submission", "demo/sample_submission.csv"),
                                   flag("output", "out"), "--bootstrap=5"}));
  const std::string submission = read_file(root_ / "out" / "submission.csv");
  const std::string sample = read_file(root_ / "demo" / "sample_submission.csv");
  EXPECT_EQ(submission.substr(0, submission.find('\n')), sample.substr(0, sample.find('\n')));
  EXPECT_EQ(split(submission, '\n').size(), split(sample, '\n').size());
  EXPECT_THAT(read_file(root_ / "out" / "report.html"), HasSubstr("<svg"));
  EXPECT_THAT(read_file(root_ / "run" / "logs" / "rank-0.log"), HasSubstr("epoch 2/2"));
}

// The batch norms of a ResNet see one logical worker's samples, whoever runs it, and the number of
// compute threads does not depend on the number of workers.
TEST_F(Pipeline, SplitTakesTheEarlierNameOfNumFoldsWithAWarning) {
  ASSERT_NO_FATAL_FAILURE(make_data());
  const std::vector<std::string> words = {
      "split",    flag("data", "shards/train"), "--method=kfold",
      "--seed=1", flag("output", "again.json"), "--folds=2"};
  const PodiumResult earlier = podium_run(words);
  EXPECT_EQ(earlier.code, 0) << earlier.err;
  EXPECT_THAT(earlier.err, HasSubstr("--folds is called --num_folds now"));
  EXPECT_EQ(read_file(path("again.json")), read_file(path("folds.json")));
  std::vector<std::string> both = words;
  both.emplace_back("--num_folds=2");
  const PodiumResult refused = podium_run(both);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("give one of them"));
}

TEST_F(Pipeline, TwoWorkersGiveTheLossesOfOne) {
  ASSERT_NO_FATAL_FAILURE(make_data());
  write_file_atomic(path("recipe.yaml"), recipe("resnet18", 2));
  for (const int workers : {1, 2}) {
    const PodiumResult result = podium_run(launch(workers, std::to_string(workers)));
    ASSERT_EQ(result.code, 0) << result.err;
  }
  const auto one = lines("1/metrics.jsonl");
  const auto two = lines("2/metrics.jsonl");
  ASSERT_EQ(one.size(), two.size());
  int num_steps = 0;
  for (size_t i = 0; i < one.size(); ++i) {
    for (const std::string key : {"loss", "train_loss", "val_loss"}) {
      ASSERT_EQ(one[i].contains(key), two[i].contains(key)) << one[i].dump();
      if (!one[i].contains(key)) continue;
      EXPECT_NEAR(one[i].at(key).get<double>(), two[i].at(key).get<double>(), 1e-5)
          << one[i].dump();
    }
    num_steps += one[i]["kind"] == "step";
  }
  EXPECT_GE(num_steps, 4);
}

TEST_F(Pipeline, SweepRunsEachFoldOnceAndGathers) {
  ASSERT_NO_FATAL_FAILURE(make_data());
  write_file_atomic(
      path("plan.yaml"),
      "name: tiny\nrecipe: recipe.yaml\ndata: shards/train\nfolds: folds.json\n"
      "test_data: shards/test\nworkers: 2\naxes:\n  lr:\n    low: [optimizer.lr=0.001]\n"
      "    refused: [optimizer.lrr=1]\n");
  const std::vector<std::string> words = {"sweep", flag("plan", "plan.yaml"), flag("output", "out"),
                                          "--slots=1"};
  const PodiumResult first = podium_run(words);
  EXPECT_EQ(first.code, 2) << first.err;
  EXPECT_THAT(first.out, AllOf(HasSubstr("2 trials done, 2 failed"), HasSubstr("optimizer.lrr")));
  const auto summary = json("out/summary.json");
  EXPECT_EQ(summary["groups"][0]["group"], "low");
  EXPECT_TRUE(summary["groups"][0]["mean"].is_number());
  const PodiumResult second = podium_run(words);
  EXPECT_THAT(second.err, Not(HasSubstr("trial low/fold0 started")));
  const PodiumResult gathered =
      podium_run({"gather", flag("oof", "out"), flag("test", "out"), "--bootstrap=5",
                  flag("sample_submission", "demo/sample_submission.csv"), flag("output", "sub")});
  EXPECT_EQ(gathered.code, 0) << gathered.err;
}

class Cli : public PodiumFixture {};

TEST_F(Cli, VersionNamesLibraries) {
  const PodiumResult result = podium_run({"--version"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, AllOf(StartsWith("podium "), HasSubstr("libtorch: 2.11.0"),
                                HasSubstr("MPI: Open MPI"), HasSubstr("OpenCV: 4")));
}

TEST_F(Cli, MistakesEndWithCodeTwoAndOneLine) {
  const PodiumResult result = podium_run({"trian"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
  EXPECT_THAT(result.err, HasSubstr("did you mean \"train\"?"));
  EXPECT_EQ(podium_run({"launch", "-n", "2", "--", "launch", "-n", "2", "--", "train"}).code, 2);
  EXPECT_EQ(podium_run({"launch", "-n", "2", "--", "pack"}).code, 2);
  EXPECT_EQ(
      podium_run({"launch", "-n", "0", "--", "train", "--recipe=r", "--data=d", "--run_dir=r"})
          .code,
      2);
}

TEST_F(Cli, RecipeHelpListsKeys) {
  EXPECT_THAT(podium_run({"train", "--help_recipe"}).out, HasSubstr("micro_batch_size"));
}

TEST_F(Cli, ModelsAreListedAndDescribed) {
  EXPECT_THAT(podium_run({"models"}).out, HasSubstr("resnet18"));
  const PodiumResult tree = podium_run({"models", "--describe=resnet18", "--num_classes=5"});
  EXPECT_THAT(tree.out, AllOf(HasSubstr(".weight (64, 3, 7, 7)"), HasSubstr(".weight (5, 512)")));
  EXPECT_EQ(podium_run({"models", "--describe=resnet19"}).code, 2);
}

TEST_F(Cli, MissingMpirunSaysWhatToInstall) {
  const PodiumResult result = podium_run(
      {"launch", "-n", "2", "--", "train", "--recipe=r", "--data=d", "--run_dir=" + path("run")},
      {{"PATH", path("")}});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, HasSubstr("install openmpi-bin"));
}

}  // namespace
}  // namespace podium
