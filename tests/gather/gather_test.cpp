// Gather as a whole, on small sets on disk: files, report sections, atomic output.
#include "gather/gather.h"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "base/version.h"
#include "gather_testing.h"
#include "metrics/classification.h"

namespace podium::gather {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Gather : public FolderTest {
 protected:
  // Two models of two folds, a baseline, runs with loss curves, a test set.
  void SetUp() override {
    FolderTest::SetUp();
    for (const std::string group : {"raw", "sharp"}) {
      for (const int64_t fold : {0, 1}) {
        const fs::path run = root_ / group / std::to_string(fold);
        noisy(group, fold, group == "raw" ? 0.8 : 0.65).save(run / "predictions/oof");
        PredictionSet test = noisy(group, fold, 0.4);
        test.kind = PredictionKind::kTest;
        test.targets.clear();
        test.class_targets.clear();
        test.keys.clear();
        for (int i = 0; i < 20; ++i) {
          test.keys.push_back("test_" + std::to_string(100 + i));
        }
        test.probabilities.resize(20 * test.classes.size());
        test.save(run / "predictions/test");
        write_file_atomic(run / "metrics.jsonl",
                          "{\"kind\":\"step\",\"step\":1,\"loss\":0.7}\n{\"kind\":\"step\","
                          "\"step\":2,\"loss\":0.5}\n"
                          "{\"kind\":\"epoch\",\"epoch\":0,\"step\":2,\"val_loss\":0.6,\"val_map\":"
                          "0.8}\n{\"kind\":\"st");
        options_.oof.push_back(run);
        options_.test.push_back(run);
      }
    }
    for (const int64_t fold : {0, 1}) {
      const fs::path directory = root_ / "histogram" / std::to_string(fold);
      noisy("histogram", fold, 1.0).save(directory);
      options_.baselines.push_back(directory);
    }
    std::string sample = "img_id,c2,c0,c1\n";
    for (int i = 19; i >= 0; --i) {
      sample += "test_" + std::to_string(100 + i) + ",0,0,0\n";
    }
    write_file_atomic(root_ / "sample.csv", sample);
    options_.sample_submission = root_ / "sample.csv";
    options_.output = root_ / "out";
    options_.bootstrap_replicates = 20;
    options_.num_threads = 2;
    options_.command = "podium gather --title=\"a<b\"";
  }

  // 40 samples a fold and 3 classes; the share `noise` of each score is random.
  static PredictionSet noisy(const std::string& group, int64_t fold, double noise) {
    PredictionSet set;
    set.name = group + "/fold" + std::to_string(fold);
    set.model_group = group;
    set.fold = fold;
    set.class_hash = "c";
    set.data_digest = "d";
    set.classes = {"c0", "c1", "c2"};
    Rng truth(1, RandomPurpose::kTest, static_cast<uint64_t>(fold));
    Rng rng(2, RandomPurpose::kTest, static_cast<uint64_t>(fold),
            group.size() * 31 + static_cast<unsigned char>(group[0]));
    for (int n = 0; n < 40; ++n) {
      set.keys.push_back("train_" + std::to_string(1000 + n) + "_" + std::to_string(fold));
      for (int k = 0; k < 3; ++k) {
        const bool is_positive = truth.bernoulli(0.3);
        set.targets.push_back(is_positive ? 1 : 0);
        set.probabilities.push_back(static_cast<float>(
            (1 - noise) * static_cast<double>(is_positive) + noise * rng.uniform()));
      }
    }
    return set;
  }

  json json_of(const char* name) { return json::parse(read_file(options_.output / name)); }
  size_t entries_of_root() {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(root_), fs::directory_iterator()));
  }

  GatherOptions options_;
};

TEST_F(Gather, WritesAllFilesAndTheirScoresAreThoseOfTheMeanProbabilities) {
  const GatherResult result = gather(options_);
  EXPECT_EQ(result.files.size(), 6u);
  EXPECT_TRUE(is_done(options_.output));
  std::vector<float> mean, targets;
  for (const int64_t fold : {0, 1}) {
    const PredictionSet a = noisy("raw", fold, 0.8);
    const PredictionSet b = noisy("sharp", fold, 0.65);
    targets.insert(targets.end(), a.targets.begin(), a.targets.end());
    for (size_t i = 0; i < a.probabilities.size(); ++i) {
      mean.push_back(static_cast<float>(
          (static_cast<double>(a.probabilities[i]) + static_cast<double>(b.probabilities[i])) / 2));
    }
  }
  EXPECT_DOUBLE_EQ(result.score, metrics::mean_average_precision(mean, targets, 3).mean);
  EXPECT_GT(result.score, result.baseline_score);
  EXPECT_GT(result.baseline_score, 0.0);
  EXPECT_LE(result.interval_low, result.score);
  EXPECT_THAT(result.summary(), AllOf(HasSubstr("sharp"), HasSubstr("ensemble"),
                                      HasSubstr("baseline"), HasSubstr("class prior")));
  const json scores = json_of("scores.json");
  EXPECT_DOUBLE_EQ(scores["ensemble"]["score"].get<double>(), result.score);
  EXPECT_EQ(scores["ensemble"]["per_fold"].size(), 2u);
  EXPECT_EQ(scores["groups"].size(), 2u);
  EXPECT_TRUE(scores["baselines"].contains("histogram"));
  const json ensemble = json_of("ensemble.json");
  EXPECT_EQ(ensemble["method"], "mean");
  EXPECT_EQ(ensemble["groups"][0]["weight"], 0.5);
  EXPECT_EQ(ensemble["groups"][0]["oof"][0]["digest"], noisy("raw", 0, 0.8).digest());
  const json thresholds = json_of("thresholds.json");
  EXPECT_EQ(thresholds["fitted_on"], "out_of_fold");
  EXPECT_EQ(thresholds["classes"]["c1"]["fitted_without"].size(), 2u);
}

TEST_F(Gather, ManifestHasTheDigestsOfWhatWentInAndCameOut) {
  gather(options_);
  const json manifest = json_of("manifest.json");
  for (const char* name :
       {"submission.csv", "ensemble.json", "thresholds.json", "scores.json", "report.html"}) {
    EXPECT_EQ(manifest["files"][name], xxh3_128_hex_of_file(options_.output / name)) << name;
  }
  EXPECT_EQ(manifest["sample_submission"]["xxh3_128"],
            xxh3_128_hex_of_file(options_.sample_submission));
  ASSERT_EQ(manifest["oof"].size(), 4u);
  EXPECT_EQ(manifest["oof"][0]["name"], "raw/fold0");
  EXPECT_EQ(manifest["oof"][0]["digest"], noisy("raw", 0, 0.8).digest());
  EXPECT_FALSE(manifest["test"].empty());
  EXPECT_EQ(manifest["podium"]["source_revision"], build_info().source_revision);
}

TEST_F(Gather, SubmissionHasTheSamplesRowsAndColumns) {
  gather(options_);
  const CsvTable table = read_csv(options_.output / "submission.csv");
  EXPECT_THAT(table.header, ElementsAre("img_id", "c2", "c0", "c1"));
  ASSERT_EQ(table.rows.size(), 20u);
  EXPECT_EQ(table.rows[0].cells[0], "test_119");
}

TEST_F(Gather, ReportHasItsSectionsAndNoExternalResource) {
  gather(options_);
  const std::string report = read_file(options_.output / "report.html");
  for (const char* id : {"headline", "models", "classes", "thresholds", "precision_recall", "loss",
                         "data", "inputs"}) {
    EXPECT_THAT(report, HasSubstr(std::string("<section id='") + id + "'>"));
  }
  EXPECT_THAT(report, AllOf(HasSubstr("<polyline"), HasSubstr("val_map"), HasSubstr("histogram"),
                            HasSubstr("a&lt;b")));
  for (const char* outside :
       {"http:", "https:", "<script", "<link", "@import", "url(", "nan", "inf\""}) {
    EXPECT_THAT(report, Not(HasSubstr(outside))) << outside;
  }
}

TEST_F(Gather, SameInputsGiveTheSameBytes) {
  gather(options_);
  const std::string report = read_file(options_.output / "report.html");
  const std::string scores = read_file(options_.output / "scores.json");
  options_.overwrite = true;
  options_.num_threads = 1;
  gather(options_);
  EXPECT_EQ(read_file(options_.output / "report.html"), report);
  EXPECT_EQ(read_file(options_.output / "scores.json"), scores);
}

TEST_F(Gather, ExistingOutputNeedsOverwriteAndIsReplacedWhole) {
  gather(options_);
  write_file_atomic(options_.output / "old.txt", "old");
  EXPECT_THAT(message_of<IoError>([&] { gather(options_); }),
              AllOf(HasSubstr("out"), HasSubstr("--overwrite")));
  EXPECT_TRUE(fs::exists(options_.output / "old.txt"));
  const size_t before = entries_of_root();
  options_.overwrite = true;
  gather(options_);
  EXPECT_FALSE(fs::exists(options_.output / "old.txt"));
  EXPECT_EQ(entries_of_root(), before);
}

TEST_F(Gather, SampleWithOtherIdsWritesNothing) {
  write_file_atomic(root_ / "sample.csv", "img_id,c0,c1,c2\nother,0,0,0\n");
  const size_t before = entries_of_root();
  EXPECT_THAT(message_of<DataError>([&] { gather(options_); }),
              AllOf(HasSubstr("\"other\""), HasSubstr("20 predictions")));
  EXPECT_FALSE(fs::exists(options_.output));
  EXPECT_EQ(entries_of_root(), before);
}

TEST_F(Gather, GreedyAndBestPickTheBetterModel) {
  options_.ensemble.name = "best";
  const GatherResult best = gather(options_);
  EXPECT_EQ(best.groups[0].weight, 0);
  EXPECT_EQ(best.groups[1].weight, 1);
  EXPECT_EQ(best.score, best.groups[1].score);
  options_.ensemble = {"greedy", {{"greedy_rounds", 5}}};
  options_.overwrite = true;
  const GatherResult greedy = gather(options_);
  EXPECT_GE(greedy.score, best.score);
  EXPECT_EQ(json_of("ensemble.json")["greedy_steps"].size(), 5u);
}

TEST_F(Gather, WithoutTestThereIsAReportAndNoSubmission) {
  options_.test.clear();
  EXPECT_THAT(message_of<UsageError>([&] { gather(options_); }), HasSubstr("--sample_submission"));
  options_.sample_submission.clear();
  EXPECT_EQ(gather(options_).files.size(), 5u);
  EXPECT_FALSE(fs::exists(options_.output / "submission.csv"));
}

TEST_F(Gather, WrongChoicesListTheRightOnes) {
  options_.ensemble.name = "gredy";
  EXPECT_THAT(message_of<UsageError>([&] { gather(options_); }),
              AllOf(HasSubstr("--ensemble=gredy"), HasSubstr("mean, best, greedy"),
                    HasSubstr("did you mean \"greedy\"")));
  options_.ensemble = {"greedy", {{"greedy_rounds", 0}}};
  EXPECT_THAT(message_of<UsageError>([&] { gather(options_); }),
              HasSubstr("--greedy_rounds=0: expected at least 1"));
  options_.ensemble = {"mean", {}};
  options_.threshold_rule = "f2";
  EXPECT_THAT(message_of<UsageError>([&] { gather(options_); }),
              AllOf(HasSubstr("--thresholds=f2"), HasSubstr("f1, youden")));
  options_.threshold_rule = "f1";
  EXPECT_THAT(message_of<UsageError>([] { parse_rle_order("diagonal"); }),
              HasSubstr("row, column"));
  options_.metric = "accuracy";
  EXPECT_THAT(message_of<UsageError>([&] { gather(options_); }), HasSubstr("--metric=accuracy"));
}

TEST_F(Gather, SingleLabelHasAConfusionMatrix) {
  options_ = {};
  options_.output = root_ / "out";
  for (const int64_t fold : {0, 1}) {
    PredictionSet set = noisy("raw", fold, 0.8);
    set.task = PredictionTask::kSingleLabel;
    for (size_t n = 0; n < set.keys.size(); ++n) {
      set.class_targets.push_back(static_cast<int64_t>(n % 3));
    }
    set.targets.clear();
    set.save(root_ / "single" / std::to_string(fold));
    options_.oof.push_back(root_ / "single" / std::to_string(fold));
  }
  EXPECT_EQ(gather(options_).metric, "accuracy");
  EXPECT_THAT(read_file(options_.output / "report.html"), HasSubstr("<section id='confusion'>"));
  EXPECT_EQ(json_of("thresholds.json")["rule"], "argmax");
}

TEST_F(Gather, BinaryMasksGetAThresholdAndRunLengths) {
  PredictionSet set;
  set.task = PredictionTask::kSegmentation;
  set.name = set.model_group = "unet";
  set.classes = {"building"};
  set.keys = {"a", "b"};
  set.mask_heights = {2, 2};
  set.mask_widths = {2, 2};
  set.mask_probabilities = {30000, 10, 20, 40, 50000, 10, 25000, 5};
  set.mask_targets = {1, 0, 0, 0, 1, 0, 1, 255};
  set.save(root_ / "oof");
  set.kind = PredictionKind::kTest;
  set.mask_targets.clear();
  set.save(root_ / "test");
  write_file_atomic(root_ / "sample.csv", "img_id,mask_rle\nb,-1\na,-1\n");
  options_ = {};
  options_.oof = {root_ / "oof"};
  options_.test = {root_ / "test"};
  options_.sample_submission = root_ / "sample.csv";
  options_.output = root_ / "out";
  const GatherResult result = gather(options_);
  EXPECT_EQ(result.metric, "dice_global");
  EXPECT_EQ(result.score, 1.0);
  EXPECT_EQ(json_of("thresholds.json")["level"], 25000);
  EXPECT_EQ(read_file(options_.output / "submission.csv"), "img_id,mask_rle\nb,1 1 3 1\na,1 1\n");
  EXPECT_THAT(read_file(options_.output / "report.html"), HasSubstr("<section id='masks'>"));
}

}  // namespace
}  // namespace podium::gather
