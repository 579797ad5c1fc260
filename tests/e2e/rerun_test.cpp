// `podium rerun` as a user calls it: equal with other workers, stopped where it differs, refused
// where nothing can be promised.
#include <gmock/gmock.h>

#include <algorithm>

#include "base/hash.h"
#include "tests/e2e/podium_fixture.h"

namespace podium {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Rerun : public PodiumFixture {
 protected:
  void SetUp() override {
    PodiumFixture::SetUp();
    ASSERT_NO_FATAL_FAILURE(make_data());
  }
  PodiumResult rerun(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"rerun", flag("manifest", "run/manifest.json"),
                                      flag("output", "again")};
    words.insert(words.end(), more.begin(), more.end());
    return podium_run(words);
  }
};

TEST_F(Rerun, TwoWorkersRepeatTheBitsOfOne) {
  write_file_atomic(path("recipe.yaml"), recipe("resnet18", 2));
  ASSERT_NO_FATAL_FAILURE(succeed(train("run")));
  const PodiumResult result = rerun({"-n", "2"});
  ASSERT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("verdict: equal"), Not(HasSubstr("DIFFERENT"))));
  EXPECT_THAT(result.err, HasSubstr("epoch 1: the state is the recorded one, bit by bit"));
  const auto report = json("again/rerun.json");
  EXPECT_EQ(report["verdict"], "equal");
  EXPECT_EQ(report["epochs"].size(), 2u);
  EXPECT_EQ(report["world_sizes"]["here"], nlohmann::json({2}));
  EXPECT_EQ(json("again/run/manifest.json")["final"]["predictions_digest"],
            json("run/manifest.json")["final"]["predictions_digest"]);
}

TEST_F(Rerun, StopsAtTheFirstEpochThatDiffers) {
  write_file_atomic(path("recipe.yaml"), recipe("color_histogram", 200));
  ASSERT_NO_FATAL_FAILURE(succeed(train("run")));
  auto records = lines("run/digests.jsonl");
  const std::string true_digest = records[1]["tensors"]["weights/fc.weight"];
  const std::string false_digest = xxh3_128_hex("another weight");
  records[1]["tensors"]["weights/fc.weight"] = false_digest;
  std::string text;
  for (const auto& record : records) text += record.dump() + "\n";
  write_file_atomic(path("run/digests.jsonl"), text);
  const PodiumResult result = rerun();
  EXPECT_EQ(result.code, 6) << result.err;
  EXPECT_THAT(result.err,
              HasSubstr("the bits are not the recorded ones: epoch 2: tensor weights/fc.weight: "
                        "recorded " +
                        false_digest + ", here " + true_digest));
  const auto report = json("again/rerun.json");
  EXPECT_EQ(report["divergence"]["epoch"], 2);
  EXPECT_EQ(report["is_complete"], false);
  EXPECT_LT(report["epochs"].size(), 200u);
}

TEST_F(Rerun, OtherDataIsRefusedBeforeTraining) {
  ASSERT_NO_FATAL_FAILURE(succeed(train("run")));
  const std::string shard = path("shards/train/data-000000.tar");
  std::string bytes = read_file(shard);
  bytes[1000] = static_cast<char>(bytes[1000] ^ 1);
  write_file_atomic(shard, bytes);
  const PodiumResult result = rerun();
  EXPECT_EQ(result.code, 3) << result.err;
  EXPECT_THAT(result.err, HasSubstr(shard + ": digest " + xxh3_128_hex(bytes)));
  EXPECT_FALSE(std::filesystem::exists(root_ / "again"));
}

TEST_F(Rerun, FastestIsRefusedUnlessForced) {
  auto words = train("run");
  words.emplace_back("--fastest");
  ASSERT_NO_FATAL_FAILURE(succeed(words));
  const PodiumResult refused = rerun();
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("made with --fastest"), HasSubstr("--force")));
  EXPECT_FALSE(std::filesystem::exists(root_ / "again"));
  const PodiumResult forced = rerun({"--force"});
  EXPECT_THAT(forced.err, HasSubstr("bits are not promised here"));
  EXPECT_EQ(json("again/rerun.json")["promise"], "metrics");
}

TEST_F(Rerun, OtherNumericsAreTheCauseAndEndWithCodeTwo) {
  ASSERT_NO_FATAL_FAILURE(succeed(train("run")));
  auto manifest = json("run/manifest.json");
  manifest["starts"][0]["podium"]["numerics"] = 1000;
  manifest["final"]["weights_digest"] = "of other bits";
  write_file_atomic(path("run/manifest.json"), manifest.dump());
  const PodiumResult refused = rerun();
  EXPECT_EQ(refused.code, 2) << refused.err;
  EXPECT_THAT(refused.err, HasSubstr("bits are not promised here (numerics: 1000, here 1"));
  const PodiumResult forced = rerun({"--force"});
  EXPECT_EQ(forced.code, 2) << forced.err;
  EXPECT_THAT(forced.err, HasSubstr("rerun: numerics: recorded 1000, here 1: podium was changed"));
  EXPECT_EQ(json("again/rerun.json")["reasons"][0], "numerics: 1000, here 1");
}

TEST_F(Rerun, MistakesAreNamed) {
  ASSERT_NO_FATAL_FAILURE(succeed(train("run")));
  const PodiumResult workers = rerun({"-n", "3"});
  EXPECT_EQ(workers.code, 2);
  EXPECT_THAT(workers.err, HasSubstr("-n 3: expected a number that divides the run's 2"));
  const PodiumResult missing =
      podium_run({"rerun", flag("manifest", "run/manifest.jsn"), flag("output", "again")});
  EXPECT_EQ(missing.code, 4);
  const PodiumResult no_output = podium_run({"rerun", flag("manifest", "run/manifest.json")});
  EXPECT_EQ(no_output.code, 2);
  EXPECT_THAT(no_output.err, HasSubstr("--output"));
}

}  // namespace
}  // namespace podium
