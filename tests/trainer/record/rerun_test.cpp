// The comparison of a run with its repetition. The command itself: tests/e2e/rerun_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "tests/message_of.h"
#include "tests/trainer/train_test_util.h"
#include "trainer/recipe/train_options.h"
#include "trainer/record/rerun_compare.h"
#include "trainer/record/rerun_inputs.h"
#include "trainer/record/rerun_report.h"
#include "trainer/record/run_record.h"
#include "trainer/run/train.h"

namespace podium::trainer {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::json;
using namespace testing;  // NOLINT: the shapes

EpochRecord epoch_record(std::map<std::string, std::string> tensors) {
  EpochRecord record;
  record.epoch = 2;
  record.tensors.tensors = std::move(tensors);
  record.state_digest = record.tensors.state();
  record.group_digests = record.tensors.groups();
  record.weights_digest = "w";
  return record;
}

TEST(RerunEpoch, NamesTheFirstTensorAndBothDigests) {
  const EpochRecord then =
      epoch_record({{"weights/a", "11"}, {"weights/b", "22"}, {"ema/a", "33"}});
  EpochRecord now = epoch_record({{"weights/a", "11"}, {"weights/b", "99"}, {"ema/a", "88"}});
  EXPECT_FALSE(compare_epoch(then, then));
  const auto divergence = compare_epoch(then, now);
  ASSERT_TRUE(divergence);
  EXPECT_EQ(divergence->text(),
            "epoch 2: tensor weights/b: recorded 22, here 99 (2 of 3 tensors differ)");
  // Without the tensors' digests the group is known.
  now.tensors.tensors.clear();
  EXPECT_EQ(compare_epoch(then, now)->tensor, "group ema");
  EXPECT_EQ(compare_epoch(then, now)->recorded, then.group_digests.at("ema"));
}

TEST(RerunEpoch, AManifestChangedByHandIsADivergenceToo) {
  const EpochRecord then = epoch_record({{"weights/a", "11"}});
  EpochRecord now = then;
  now.state_digest = "changed";
  EXPECT_EQ(compare_epoch(then, now)->tensor, "state");
  now = then;
  now.weights_digest = "changed";
  EXPECT_EQ(compare_epoch(then, now)->here, "changed");
}

Json manifest_with(const std::string& libtorch, const std::string& instructions,
                   const std::string& revision, int world_size = 1) {
  return {
      {"starts", Json::array({{{"podium", {{"source_revision", revision}, {"is_tree_clean", true}}},
                               {"libraries", {{"libtorch", libtorch}}},
                               {"world_size", world_size},
                               {"device", "cpu"},
                               {"reduction", "tree"},
                               {"environment", Json::object()},
                               {"machines", Json::array({{{"ranks", {0}},
                                                          {"machine",
                                                           {{"vector_instructions", instructions},
                                                            {"gpu", nullptr}}}}})}}})}};
}

TEST(RerunSurroundings, LibrariesAndHardwareCountBuildAndWorkersAreNamed) {
  const Json recorded = manifest_with("2.11.0", "AVX2", "abc");
  EXPECT_THAT(find_differences(recorded, recorded, true), IsEmpty());
  const auto differences =
      find_differences(recorded, manifest_with("2.12.0", "AVX512", "def", 4), true);
  const auto is = [](const char* what, bool is_class) {
    return AllOf(Field(&Difference::what, what), Field(&Difference::is_class, is_class));
  };
  EXPECT_THAT(differences, ::testing::UnorderedElementsAre(
                               is("source revision", false), is("libtorch", true),
                               is("workers", false), is("vector instructions", true)));
  RunRecord record;
  record.manifest = recorded;
  EXPECT_THAT(reasons_against_bits(record, differences),
              ::testing::ElementsAre("libtorch: 2.11.0, here 2.12.0",
                                     "vector instructions: AVX2, here AVX512"));
}

TEST(RerunSurroundings, OtherNumericsAreTheFirstReasonAndNoneCountAsOne) {
  const auto with_numerics = [](int numerics) {
    Json manifest = manifest_with("2.11.0", "AVX2", "abc");
    manifest["starts"][0]["podium"]["numerics"] = numerics;
    return manifest;
  };
  const Json missing = manifest_with("2.11.0", "AVX2", "abc");
  EXPECT_THAT(find_differences(with_numerics(2), with_numerics(2), true), IsEmpty());
  EXPECT_THAT(find_differences(missing, with_numerics(1), true), IsEmpty());
  RunRecord record;
  record.manifest = missing;
  record.manifest["starts"][0]["reduction"] = "all_reduce";
  const auto differences = find_differences(record.manifest, with_numerics(2), true);
  EXPECT_THAT(reasons_against_bits(record, differences),
              ::testing::ElementsAre("numerics: 1, here 2", HasSubstr("--fastest")));
  // A run that a later build continued has the bits of neither.
  Json continued = missing;
  continued["starts"].push_back(with_numerics(2)["starts"][0]);
  EXPECT_THAT(find_differences(continued, with_numerics(2), true),
              Contains(Field(&Difference::recorded, "1 and 2")));
}

TEST(RerunSurroundings, ARunOverTwoClassesOfMachinesHasNoBitsToRepeat) {
  Json recorded = manifest_with("2.11.0", "AVX2", "abc");
  recorded["starts"].push_back(manifest_with("2.11.0", "AVX512", "abc")["starts"][0]);
  EXPECT_THAT(find_differences(recorded, recorded, true),
              Contains(Field(&Difference::recorded, "AVX2 and AVX512")));
}

TEST(RerunSurroundings, FastestPromisesNoBits) {
  RunRecord record;
  record.manifest = manifest_with("2.11.0", "AVX2", "abc");
  record.manifest["starts"][0]["reduction"] = "all_reduce";
  EXPECT_TRUE(record.is_fastest());
  EXPECT_FALSE(record.is_worker_invariant());
  EXPECT_THAT(reasons_against_bits(record, {}), Contains(HasSubstr("--fastest")));
}

TEST(RerunSurroundings, SynchronisedBatchNormsPromiseNoBits) {
  RunRecord record;
  record.manifest = manifest_with("2.11.0", "AVX2", "abc");
  EXPECT_THAT(reasons_against_bits(record, {}), ::testing::IsEmpty());
  record.manifest["starts"][0]["is_worker_invariant"] = false;
  EXPECT_THAT(reasons_against_bits(record, {}), Contains(HasSubstr("batch_norm=sync")));
}

// Runs of two epochs on 24 drawn images.
class Rerun : public ::testing::Test {
 protected:
  void SetUp() override {
    data_ = pack_multi_label(folder_.path(), 24);
    make_fold_file(data_, 3);
  }
  RunRecord run(const std::string& name, const std::vector<std::string>& overrides = {}) {
    TrainOptions options = quick_options(
        folder_.path(), data_, quick_recipe("train: {epochs: 2, micro_batch_size: 4}\n"), name);
    options.overrides = overrides;
    train(options);
    return RunRecord::load(options.run_dir / "manifest.json");
  }
  TemporaryFolder folder_;
  fs::path data_;
};

TEST_F(Rerun, TheSameRunIsEqualAndAnotherSeedDivergesInTheFirstEpoch) {
  const RunRecord recorded = run("a");
  const RerunOutcome same = compare_runs(recorded, run("b"));
  EXPECT_EQ(same.verdict, RerunVerdict::kEqual);
  EXPECT_EQ(same.promise, Promise::kBits);
  EXPECT_EQ(same.epochs_compared, (std::vector<int64_t>{1, 2}));
  const RunRecord other = run("c", {"seed=8"});
  const RerunOutcome different = compare_runs(recorded, other);
  EXPECT_EQ(different.verdict, RerunVerdict::kDiverged);
  ASSERT_TRUE(different.divergence);
  EXPECT_EQ(different.divergence->epoch, 1);
  EXPECT_EQ(different.divergence->tensor, "weights/fc.bias");
  EXPECT_EQ(different.divergence->recorded,
            recorded.epochs.at(1).tensors.tensors.at("weights/fc.bias"));
  const Json report = to_json(different, recorded, other);
  EXPECT_EQ(report["verdict"], "diverged");
  EXPECT_EQ(report["divergence"]["here"], other.epochs.at(1).tensors.tensors.at("weights/fc.bias"));
  EXPECT_THAT(summary_text(different, recorded, other), HasSubstr("DIFFERENT"));
}

TEST_F(Rerun, AMissingEpochIsADivergence) {
  const RunRecord recorded = run("a");
  RunRecord here = recorded;
  here.epochs.erase(2);
  const RerunOutcome outcome = compare_runs(recorded, here);
  EXPECT_EQ(outcome.verdict, RerunVerdict::kDiverged);
  EXPECT_EQ(outcome.divergence->epoch, 2);
  EXPECT_EQ(outcome.divergence->here, "none");
}

TEST_F(Rerun, ChangedInputsAreNamedBeforeTraining) {
  const RunRecord recorded = run("a");
  EXPECT_EQ(check_inputs(recorded, "").data, fs::absolute(data_));
  const fs::path shard = data_ / data_shards::Dataset::open(data_)->shard(0).file;
  const std::string digest = xxh3_128_hex_of_file(shard);
  flip_last_byte(shard);
  EXPECT_THAT(
      message_of<DataError>([&] { check_inputs(recorded, ""); }),
      AllOf(HasSubstr(shard.string()), HasSubstr(digest), HasSubstr(xxh3_128_hex_of_file(shard))));
  flip_last_byte(shard);
  // Other images under the same names, packed anew.
  const fs::path other = pack_multi_label(folder_.path() / "other", 24, /*seed=*/1);
  EXPECT_THAT(message_of<DataError>([&] { check_inputs(recorded, other); }),
              AllOf(HasSubstr((other / shard.filename()).string()), HasSubstr(digest)));
  flip_last_byte(folder_.path() / "a" / "folds.json");
  EXPECT_THAT(message_of<DataError>([&] { check_inputs(recorded, ""); }),
              HasSubstr("a/folds.json: digest"));
}

TEST_F(Rerun, OtherInitialWeightsAreRefused) {
  run("a");
  const fs::path weights = folder_.path() / "start.safetensors";
  fs::copy_file(folder_.path() / "a" / "weights.safetensors", weights);
  const RunRecord recorded = run("b", {"model.weights=" + weights.string()});
  EXPECT_EQ(check_inputs(recorded, "").weights, "");
  flip_last_byte(weights);
  EXPECT_THAT(message_of<DataError>([&] { check_inputs(recorded, ""); }),
              HasSubstr(weights.string()));
}

// Student's t for 2 degrees of freedom at 99 % is 9.925; with s of three values the next one lies
// within 9.925 s sqrt(4/3) of their mean.
TEST_F(Rerun, OnOtherHardwareMetricsAreHeldByTheSpreadOverSeeds) {
  RunRecord recorded = run("a");
  for (const char* seed : {"8", "9"})
    run(std::string("seed") + seed, {std::string("seed=") + seed});
  record_seed_spread(recorded, {folder_.path() / "seed8", folder_.path() / "seed9"});
  recorded = RunRecord::load(recorded.file);
  std::vector<double> losses;
  for (const char* name : {"a", "seed8", "seed9"}) {
    losses.push_back(RunRecord::load(folder_.path() / name / "manifest.json")
                         .manifest["final"]["metrics"]["train_loss"]);
  }
  const double mean = (losses[0] + losses[1] + losses[2]) / 3;
  double squares = 0;
  for (const double loss : losses) squares += (loss - mean) * (loss - mean);
  const double tolerance = 9.925 * std::sqrt(squares / 2) * std::sqrt(4.0 / 3);

  RunRecord here = RunRecord::load(folder_.path() / "seed8" / "manifest.json");
  here.manifest["starts"][0]["machines"][0]["machine"]["vector_instructions"] = "NEON";
  RerunOutcome outcome = compare_runs(recorded, here);
  EXPECT_EQ(outcome.promise, Promise::kMetrics);
  EXPECT_EQ(outcome.verdict, RerunVerdict::kWithinSpread);
  for (const MetricComparison& metric : outcome.metrics) {
    if (metric.name != "train_loss") continue;
    EXPECT_NEAR(*metric.expected, mean, 1e-12);
    EXPECT_NEAR(*metric.tolerance, tolerance, 1e-9);
  }
  here.manifest["final"]["metrics"]["train_loss"] = mean + 1.01 * tolerance;
  EXPECT_EQ(compare_runs(recorded, here).verdict, RerunVerdict::kOutsideSpread);
  recorded.manifest.erase("seed_spread");
  EXPECT_EQ(compare_runs(recorded, here).verdict, RerunVerdict::kNotJudged);
}

TEST_F(Rerun, ASpreadNeedsRunsThatDifferInTheSeedOnly) {
  RunRecord recorded = run("a");
  run("b", {"seed=8"});
  run("c", {"seed=9", "optimizer.lr=0.5"});
  const auto error = [&](const std::vector<fs::path>& runs) {
    return message_of<DataError>([&] { record_seed_spread(recorded, runs); });
  };
  EXPECT_THAT(error({folder_.path() / "b", folder_.path() / "c"}),
              AllOf(HasSubstr("c/manifest.json"), HasSubstr("another optimizer.lr")));
  EXPECT_THAT(error({folder_.path() / "b", folder_.path() / "b"}), HasSubstr("seed 8 comes twice"));
  EXPECT_THAT(error({folder_.path() / "b"}), HasSubstr("at least 3"));
  EXPECT_FALSE(read_manifest(recorded.file).contains("seed_spread"));
}

}  // namespace
}  // namespace podium::trainer
