// Joining evaluation records: metrics from hand calculations, and independence of which rank saw
// which sample.
#include "trainer/evaluate/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "base/error.h"
#include "tests/trainer/train_test_util.h"
#include "trainer/evaluate/evaluate_records.h"

namespace podium::trainer {
namespace {

using data_shards::Task;
using ::testing::ElementsAre;

ClassInfo info_of(Task task, std::vector<std::string> classes, bool is_binary_mask = false) {
  ClassInfo info;
  info.task = task;
  info.classes = std::move(classes);
  info.class_hash = "hash";
  info.is_binary_mask = is_binary_mask;
  const bool has_sigmoid = task == Task::kMultiLabel || is_binary_mask;
  info.activation = has_sigmoid ? Activation::kSigmoid : Activation::kSoftmax;
  return info;
}

// Two ranks saw batches 0 (samples 0, 1) and 1 (sample 2).
EvaluationRecords first_rank() {
  EvaluationRecords records;
  records.indices = {0, 1};
  records.probabilities = {0.9f, 0.2f, 0.4f, 0.7f};
  records.class_vectors = {1, 0, 1, 1};
  records.batch_numbers = {0};
  records.batch_sizes = {2};
  records.batch_losses = {0.5};
  return records;
}
EvaluationRecords second_rank() {
  EvaluationRecords records;
  records.indices = {2};
  records.probabilities = {0.6f, 0.1f};
  records.class_vectors = {0, -1};
  records.batch_numbers = {1};
  records.batch_sizes = {1};
  records.batch_losses = {2.0};
  return records;
}

TEST(EvaluationRecords, MetricsByHandWhateverRankSawWhat) {
  const ClassInfo info = info_of(Task::kMultiLabel, {"a", "b"});
  for (const bool is_swapped : {false, true}) {
    EvaluationRecords joined;
    joined.append((is_swapped ? second_rank() : first_rank()).to_bytes());
    joined.append((is_swapped ? first_rank() : second_rank()).to_bytes());
    const auto metrics = metrics_of(joined, info, true, true, 2);
    // Class a: 0.9 (1), 0.6 (0), 0.4 (1): AP = 1/2 * 1 + 1/2 * 2/3 = 5/6. Class b: 0.7 (1), 0.2
    // (0): AP = 1.
    EXPECT_DOUBLE_EQ(metrics.at("val_map"), (5.0 / 6.0 + 1.0) / 2.0);
    // At 0.5. Class a: TP 1, FP 1, FN 1: F1 = 1/2. Class b: TP 1: F1 = 1.
    EXPECT_DOUBLE_EQ(metrics.at("val_macro_f1"), 0.75);
    // (2 * 0.5 + 1 * 2) / 3.
    EXPECT_DOUBLE_EQ(metrics.at("val_loss"), 1.0);
  }
}

TEST(EvaluationRecords, SingleLabel) {
  EvaluationRecords records;
  records.indices = {1, 0, 2};
  records.probabilities = {0.6f, 0.4f, 0.3f, 0.7f, 0.2f, 0.8f};
  records.class_indices = {0, 0, 1};
  const auto metrics = metrics_of(records, info_of(Task::kSingleLabel, {"a", "b"}), true, false, 4);
  EXPECT_DOUBLE_EQ(metrics.at("val_accuracy"), 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(metrics.at("val_macro_f1"), 2.0 / 3.0);  // both classes: TP 1 of 3 counted
  EXPECT_EQ(metrics.count("val_loss"), 0u);
}

TEST(EvaluationRecords, MasksByHand) {
  EvaluationRecords records;
  records.indices = {0, 1};
  // counts[target][prediction]: image 0: 2 right background, 1 right foreground, 1 missed; image 1:
  // 3 right background, 1 false.
  records.confusions = {2, 0, 1, 1, 3, 1, 0, 0};
  const auto metrics =
      metrics_of(records, info_of(Task::kSegmentation, {"background", "house"}), true, false, 1);
  // Foreground over both: TP 1, FN 1, FP 1: Dice = 2 / 4.
  EXPECT_DOUBLE_EQ(metrics.at("val_dice"), 0.5);
  // Background: 5 / (6 + 6 - 5) = 5/7; foreground: 1 / (2 + 2 - 1) = 1/3.
  EXPECT_DOUBLE_EQ(metrics.at("val_mean_iou_global"), (5.0 / 7.0 + 1.0 / 3.0) / 2.0);
  // Image 0: (2/3 + 1/2) / 2; image 1: (3/4 + 0) / 2.
  const double per_image = ((2.0 / 3.0 + 0.5) / 2.0 + 0.375) / 2.0;
  EXPECT_DOUBLE_EQ(metrics.at("val_mean_iou_per_image"), per_image);
  EXPECT_DOUBLE_EQ(metrics.at("val_mean_iou_per_batch"), per_image);  // batches of one
}

TEST(EvaluationRecords, NothingToSayWithoutLabelsOrSamples) {
  const ClassInfo info = info_of(Task::kMultiLabel, {"a", "b"});
  EXPECT_TRUE(metrics_of(first_rank(), info, false, true, 2).empty());
  EXPECT_TRUE(metrics_of(EvaluationRecords{}, info, true, true, 2).empty());
}

TEST(EvaluationRecords, CutShortIsOurBug) {
  const std::string bytes = first_rank().to_bytes();
  EvaluationRecords joined;
  EXPECT_THROW(joined.append(std::string_view(bytes).substr(0, bytes.size() - 1)), InternalError);
}

TEST(EvaluationRecords, PredictionSetsAreSortedByKey) {
  const testing::TemporaryFolder folder;
  const fs::path data = testing::pack_multi_label(folder.path(), 3);
  const auto dataset = data_shards::Dataset::open(data);
  EvaluationRecords records;
  records.indices = {dataset->find("img_0002"), dataset->find("img_0000")};
  records.probabilities = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f};
  records.class_vectors = {0, 0, 1, 1, 0, 0};
  const ClassInfo info = info_of(Task::kMultiLabel, dataset->classes());
  const metrics::PredictionSet set = predictions_of(records, info, *dataset, true);
  EXPECT_THAT(set.keys, ElementsAre("img_0000", "img_0002"));
  EXPECT_THAT(set.probabilities, ElementsAre(0.4f, 0.5f, 0.6f, 0.1f, 0.2f, 0.3f));
  EXPECT_THAT(set.targets, ElementsAre(1, 0, 0, 0, 0, 1));
  EXPECT_EQ(set.data_digest, dataset->digest());
  for (const auto& member : dataset->sample(dataset->find("img_0002")).members) {
    if (member.extension != dataset->image_members().front()) continue;
    EXPECT_EQ(set.image_heights[1], member.height);
    EXPECT_EQ(set.image_widths[1], member.width);
  }
  EXPECT_EQ(set.image_heights.size(), 2u);
  EXPECT_TRUE(predictions_of(records, info, *dataset, false).targets.empty());
}

TEST(EvaluationRecords, MapsOfDifferentSizesFollowTheirKeys) {
  const testing::TemporaryFolder folder;
  const auto dataset = data_shards::Dataset::open(testing::pack_masks(folder.path(), 2));
  EvaluationRecords records;
  records.indices = {dataset->find("img_0001"), dataset->find("img_0000")};
  records.heights = {1, 2};
  records.widths = {2, 1};
  records.maps = {1, 2, 3, 4, 5, 6, 7, 8};  // (K = 2, 1, 2), (K = 2, 2, 1)
  records.masks = {0, 1, 1, 255};
  const auto set = predictions_of(records, info_of(Task::kSegmentation, {"background", "house"}),
                                  *dataset, true);
  EXPECT_THAT(set.keys, ElementsAre("img_0000", "img_0001"));
  EXPECT_THAT(set.mask_heights, ElementsAre(2, 1));
  EXPECT_THAT(set.mask_probabilities, ElementsAre(5, 6, 7, 8, 1, 2, 3, 4));
  EXPECT_THAT(set.mask_targets, ElementsAre(1, 255, 0, 1));
}

TEST(Activation, IsAppliedByTask) {
  const torch::Tensor logits = torch::tensor({{0.0f, std::log(3.0f)}});
  const torch::Tensor multi = probabilities_of(logits, info_of(Task::kMultiLabel, {"a", "b"}));
  EXPECT_TRUE(torch::allclose(multi, torch::tensor({{0.5f, 0.75f}})));
  const torch::Tensor single = probabilities_of(logits, info_of(Task::kSingleLabel, {"a", "b"}));
  EXPECT_TRUE(torch::allclose(single, torch::tensor({{0.25f, 0.75f}})));
  const torch::Tensor binary =
      probabilities_of(logits.view({1, 1, 1, 2}), info_of(Task::kSegmentation, {"a", "b"}, true));
  EXPECT_EQ(binary.sizes(), (std::vector<int64_t>{1, 2, 1, 2}));
  EXPECT_TRUE(torch::allclose(binary.view({2, 2}), torch::tensor({{0.5f, 0.25f}, {0.5f, 0.75f}})));
}

}  // namespace
}  // namespace podium::trainer
