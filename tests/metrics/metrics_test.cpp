// Metrics against scikit-learn 1.9.1 (data/metrics.json, written by make_metrics_fixture.py),
// tolerance 1e-12.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "metrics/classification.h"
#include "metrics/ranking.h"
#include "metrics/segmentation.h"

namespace podium::metrics {
namespace {

using nlohmann::json;
using testing::HasSubstr;
constexpr double kTolerance = 1e-12;

const json& fixture() {
  static const json parsed =
      json::parse(read_file(std::string(PODIUM_TEST_DATA) + "/metrics.json"));
  return parsed;
}

template <typename Value>
std::vector<Value> values(const json& part, const char* name) {
  return part.at(name).get<std::vector<Value>>();
}

TEST(Classification, AveragePrecisionWithTiesAndUnknownsIsScikitLearns) {
  const json& part = fixture()["multi_label"];
  const auto scores = values<float>(part, "scores");
  const auto targets = values<float>(part, "targets");
  const auto result = mean_average_precision(scores, targets, part["num_classes"]);
  ASSERT_EQ(result.per_class.size(), 4u);
  for (size_t k = 0; k < 3; ++k) {
    EXPECT_NEAR(result.per_class[k], part["average_precision"][k].get<double>(), kTolerance) << k;
  }
  EXPECT_TRUE(std::isnan(result.per_class[3])) << "a class without a positive";
  EXPECT_NEAR(result.mean, part["mean_average_precision"].get<double>(), kTolerance);
}

TEST(Classification, RocAreaIsScikitLearns) {
  const json& part = fixture()["multi_label"];
  const auto scores = transpose(values<float>(part, "scores"), 4);
  const auto targets = transpose(values<float>(part, "targets"), 4);
  const size_t n = scores.size() / 4;
  for (size_t k = 0; k < 3; ++k) {
    const auto curve =
        ranking_curve(std::span(scores).subspan(k * n, n), std::span(targets).subspan(k * n, n));
    EXPECT_NEAR(roc_auc(curve), part["roc_auc"][k].get<double>(), kTolerance) << k;
  }
}

TEST(Classification, F1AtThresholdsIsScikitLearns) {
  const json& part = fixture()["multi_label"];
  const auto scores = values<float>(part, "scores");
  const auto targets = values<float>(part, "targets");
  const auto thresholds = values<double>(part, "thresholds");
  const auto counts = counts_at(scores, targets, thresholds);
  for (size_t k = 0; k < counts.size(); ++k) {
    EXPECT_NEAR(counts[k].f1(), part["f1"][k].get<double>(), kTolerance) << k;
  }
  EXPECT_NEAR(macro_f1_at(scores, targets, thresholds), part["macro_f1_at"].get<double>(),
              kTolerance);
}

TEST(Classification, AccuracyMacroF1AndConfusionAreScikitLearns) {
  const json& part = fixture()["single_label"];
  const auto scores = values<float>(part, "scores");
  const auto targets = values<int64_t>(part, "targets");
  EXPECT_NEAR(accuracy(scores, targets, 5), part["accuracy"].get<double>(), kTolerance);
  EXPECT_NEAR(macro_f1(scores, targets, 5), part["macro_f1"].get<double>(), kTolerance);
  EXPECT_EQ(confusion_matrix(argmax_per_sample(scores, 5), targets, 5),
            values<int64_t>(part, "confusion"));
}

TEST(Classification, UnknownClassTargetsAreLeftOut) {
  const std::vector<float> scores = {0.9f, 0.1f, 0.2f, 0.8f};
  EXPECT_EQ(accuracy(scores, std::vector<int64_t>{0, -1}, 2), 1.0);
  EXPECT_EQ(accuracy(scores, std::vector<int64_t>{1, 1}, 2), 0.5);
}

TEST(Classification, SizesThatDoNotFitAreNamed) {
  const std::vector<float> scores(6, 0.5f);
  EXPECT_THROW(mean_average_precision(scores, std::vector<float>(5, 0.0f), 3), DataError);
  EXPECT_THROW(accuracy(scores, std::vector<int64_t>{0, 1, 2}, 3), DataError);
}

TEST(Ranking, NanIsNamedByIndex) {
  try {
    descending_order(std::vector<float>{0.1f, NAN});
    FAIL() << "expected a DataError";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("score 1 of 2"));
  }
}

TEST(Ranking, RadixSortEqualsStableComparisonSort) {
  Rng rng(1, RandomPurpose::kTest);
  std::vector<float> scores(5000);
  for (float& score : scores) {
    score = static_cast<float>(rng.below(700)) / 350.0f - 1.0f;
  }
  scores[17] = -0.0f;
  std::vector<uint32_t> expected(scores.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    expected[i] = static_cast<uint32_t>(i);
  }
  std::stable_sort(expected.begin(), expected.end(),
                   [&](uint32_t a, uint32_t b) { return scores[a] > scores[b]; });
  EXPECT_EQ(descending_order(scores), expected);
}

class Segmentation : public testing::Test {
 protected:
  Segmentation() {
    const auto targets = values<uint8_t>(part_, "targets");
    const auto predictions = values<uint8_t>(part_, "predictions");
    const size_t pixels = targets.size() / 6;
    for (size_t i = 0; i < 6; ++i) {
      images_.emplace_back(4);
      images_.back().add(std::span(targets).subspan(i * pixels, pixels),
                         std::span(predictions).subspan(i * pixels, pixels));
    }
  }
  const json& part_ = fixture()["segmentation"];
  std::vector<Confusion> images_;
};

TEST_F(Segmentation, ThreeMeanIousAreThoseOfScikitLearnsJaccard) {
  EXPECT_NEAR(mean_iou_global(images_), part_["mean_iou_global"].get<double>(), kTolerance);
  EXPECT_NEAR(mean_iou_per_image(images_), part_["mean_iou_per_image"].get<double>(), kTolerance);
  EXPECT_NEAR(mean_iou_per_batch(images_, 4), part_["mean_iou_per_batch_of_4"].get<double>(),
              kTolerance);
}

TEST_F(Segmentation, DiceIsScikitLearnsF1OfTheClass) {
  EXPECT_NEAR(dice_global(images_, 1), part_["dice_global"].get<double>(), kTolerance);
  EXPECT_NEAR(dice_per_image(images_, 1), part_["dice_per_image"].get<double>(), kTolerance);
}

TEST_F(Segmentation, ClassIousAreScikitLearns) {
  Confusion total(4);
  for (const Confusion& image : images_) {
    total.add(image);
  }
  const auto expected = values<double>(part_, "iou");
  for (size_t k = 0; k < 4; ++k) {
    EXPECT_NEAR(total.iou_per_class()[k], expected[k], kTolerance) << k;
  }
}

TEST(SegmentationByHand, AbsentClassIsNanAndTargetOutOfRangeIsNamed) {
  Confusion confusion(3);
  confusion.add(std::vector<uint8_t>{0, 0, 255}, std::vector<uint8_t>{0, 1, 2});
  EXPECT_EQ(confusion.iou_per_class()[0], 0.5);
  EXPECT_TRUE(std::isnan(confusion.iou_per_class()[2]));
  EXPECT_EQ(confusion.mean_iou(), 0.25);
  try {
    confusion.add(std::vector<uint8_t>{0, 3}, std::vector<uint8_t>{0, 0});
    FAIL() << "expected a DataError";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("pixel 1: target 3"));
  }
}

}  // namespace
}  // namespace podium::metrics
