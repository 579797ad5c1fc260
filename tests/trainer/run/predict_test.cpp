// Prediction with finished runs: repeats the run's own out-of-fold predictions, covers test data,
// refuses what does not fit.
#include "trainer/run/predict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "metrics/prediction_set.h"
#include "tests/trainer/train_test_util.h"

namespace podium::trainer {
namespace {

using metrics::PredictionKind;
using metrics::PredictionSet;
using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace testing;  // NOLINT: the shapes

template <typename ErrorType>
std::string message_of(const PredictOptions& options) {
  try {
    predict(options);
  } catch (const ErrorType& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("another error: ") + error.what();
  }
  return "no error";
}

class Predict : public ::testing::Test {
 protected:
  void SetUp() override {
    data_ = pack_multi_label(folder_.path(), 48);
    make_fold_file(data_, 3);
    train_options_ = quick_options(folder_.path(), data_, quick_recipe(kQuickTrain));
    result_ = train(train_options_);
    options_.runs = {train_options_.run_dir};
    options_.data = data_;
    options_.device = "cpu";
    options_.loader_threads = 1;
  }

  TemporaryFolder folder_;
  fs::path data_;
  TrainOptions train_options_;
  TrainResult result_;
  PredictOptions options_;
};

TEST_F(Predict, ValRepeatsTheOutOfFoldPredictions) {
  options_.split = "val";
  options_.output = folder_.path() / "val";
  EXPECT_EQ(predict(options_), std::vector<fs::path>{options_.output});
  const PredictionSet written = PredictionSet::load(result_.oof_predictions);
  const PredictionSet again = PredictionSet::load(options_.output);
  EXPECT_EQ(again.kind, PredictionKind::kOutOfFold);
  EXPECT_EQ(again.fold, 0);
  EXPECT_EQ(again.name, written.name);
  EXPECT_EQ(again.digest(), written.digest());
}

TEST_F(Predict, AnotherBatchSizeChangesNoMoreThanRounding) {
  options_.split = "val";
  options_.output = folder_.path() / "val";
  options_.batch_size = 1;
  predict(options_);
  const PredictionSet written = PredictionSet::load(result_.oof_predictions);
  const PredictionSet again = PredictionSet::load(options_.output);
  ASSERT_EQ(again.keys, written.keys);
  for (size_t i = 0; i < again.probabilities.size(); ++i) {
    EXPECT_NEAR(again.probabilities[i], written.probabilities[i], 1e-5);
  }
}

TEST_F(Predict, TestDataIsCoveredWholeAndMarkedAsTest) {
  const TemporaryFolder elsewhere;
  options_.data = pack_multi_label(elsewhere.path(), 10, 99);
  const std::vector<fs::path> outputs = predict(options_);
  ASSERT_EQ(outputs, std::vector<fs::path>{train_options_.run_dir / "predictions" / "test"});
  const PredictionSet set = PredictionSet::load(outputs[0]);
  EXPECT_EQ(set.kind, PredictionKind::kTest);
  EXPECT_EQ(set.num_samples(), 10);
  EXPECT_EQ(set.classes, (std::vector<std::string>{"disc", "square", "triangle"}));
  EXPECT_EQ(set.data_digest, data_shards::Dataset::open(options_.data)->digest());
  predict(options_);  // replaces its own earlier output
}

TEST_F(Predict, DataWithoutLabels) {
  const TemporaryFolder elsewhere;
  pack_multi_label(elsewhere.path(), 6, 99);
  std::string csv = "img_id,img_path\n";
  for (int i = 0; i < 6; ++i) csv += fmt::format("img_{:04},images/img_{:04}.png\n", i, i);
  write_file_atomic(elsewhere.path() / "test.csv", csv);
  data_shards::PackOptions pack;
  pack.layout = "multilabel_csv";
  pack.input = elsewhere.path() / "test.csv";
  pack.output = elsewhere.path() / "test";
  data_shards::pack(pack);
  options_.data = pack.output;
  const PredictionSet set = PredictionSet::load(predict(options_)[0]);
  EXPECT_EQ(set.num_samples(), 6);
  EXPECT_TRUE(set.targets.empty());
  EXPECT_EQ(set.classes.size(), 3u);
}

TEST_F(Predict, SeveralRunsGetAFolderEach) {
  train_options_.run_dir = folder_.path() / "second";
  train_options_.overrides = {"seed=8"};
  train(train_options_);
  options_.runs.push_back(train_options_.run_dir);
  options_.split = "all";
  options_.output = folder_.path() / "sets";
  EXPECT_EQ(predict(options_),
            (std::vector<fs::path>{options_.output / "run", options_.output / "second"}));
  EXPECT_EQ(PredictionSet::load(options_.output / "second").num_samples(), 48);
  EXPECT_NE(PredictionSet::load(options_.output / "run").digest(),
            PredictionSet::load(options_.output / "second").digest());

  options_.runs = {options_.runs[0], options_.runs[0]};
  EXPECT_THAT(message_of<UsageError>(options_), HasSubstr("two runs are named \"run\""));
}

TEST_F(Predict, Bf16StaysClose) {
  options_.split = "val";
  options_.precision = "bf16";
  options_.output = folder_.path() / "val";
  predict(options_);
  const PredictionSet written = PredictionSet::load(result_.oof_predictions);
  const PredictionSet rough = PredictionSet::load(options_.output);
  EXPECT_NE(rough.digest(), written.digest());
  for (size_t i = 0; i < rough.probabilities.size(); ++i)
    EXPECT_NEAR(rough.probabilities[i], written.probabilities[i], 0.05);
}

TEST_F(Predict, OtherClassesAreRefused) {
  const TemporaryFolder elsewhere;
  options_.data = pack_single_label(elsewhere.path(), 6);
  write_file_atomic(elsewhere.path() / "labels.csv",
                    "img_id,img_path,disc,triangle,square\na,images/disc/"
                    "img_0000.png,1,0,0\nb,images/disc/img_0003.png,0,1,1\n");
  data_shards::PackOptions pack;
  pack.layout = "multilabel_csv";
  pack.input = elsewhere.path() / "labels.csv";
  pack.output = elsewhere.path() / "swapped";
  data_shards::pack(pack);
  options_.data = pack.output;
  EXPECT_THAT(message_of<DataError>(options_),
              AllOf(HasSubstr("class 1 is \"triangle\", trained was \"square\"")));
}

TEST_F(Predict, UnfinishedRunsAndBadFlagsAreRefused) {
  PredictOptions bad = options_;
  bad.split = "train";
  EXPECT_EQ(message_of<UsageError>(bad), "--split=train: expected val, test, all");
  bad = options_;
  bad.precision = "fp8";
  EXPECT_EQ(message_of<UsageError>(bad), "--precision=fp8: expected fp32, bf16, fp16");
  bad = options_;
  bad.runs.clear();
  EXPECT_THAT(message_of<UsageError>(bad), HasSubstr("--run"));
  fs::remove(train_options_.run_dir / "DONE");
  EXPECT_THAT(message_of<DataError>(options_), HasSubstr("podium train --resume=auto"));
}

TEST_F(Predict, ValNeedsFolds) {
  train_options_.run_dir = folder_.path() / "whole";
  train_options_.folds.clear();
  train(train_options_);
  options_.runs = {train_options_.run_dir};
  options_.split = "val";
  EXPECT_THAT(message_of<UsageError>(options_), HasSubstr("trained without folds"));
}

}  // namespace
}  // namespace podium::trainer
