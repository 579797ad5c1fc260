// Thresholds against brute force over all cuts, greedy selection against a hand example, scorers
// against metrics/.
#include <gmock/gmock.h>

#include <cmath>

#include "gather/search/ensemble.h"
#include "gather/search/ensemble_table.h"
#include "gather/search/priors.h"
#include "gather/search/scorer_table.h"
#include "gather/search/scoring.h"
#include "gather/search/thresholds.h"
#include "gather_testing.h"
#include "metrics/classification.h"
#include "metrics/segmentation.h"

namespace podium::gather {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const ThresholdRow& rule(const std::string& name) { return threshold_table().at(name); }
const ScorerRow& scorer_row(const std::string& name) { return scorer_table().at(name); }
double prior_score(const std::string& name, const OofTable& table) {
  return scorer_row(name).prior(scorer_row(name), table);
}

// N samples and K classes with many ties and unknown targets, in `folds` folds.
OofTable random_table(size_t num_samples, size_t num_classes, int64_t folds, uint64_t seed) {
  Rng rng(seed, RandomPurpose::kTest);
  OofTable table;
  for (size_t k = 0; k < num_classes; ++k) {
    table.samples.classes.push_back("class" + std::to_string(k));
  }
  GroupPredictions group;
  for (size_t n = 0; n < num_samples; ++n) {
    table.samples.keys.push_back("key" + std::to_string(1000 + n));
    table.folds.push_back(static_cast<int64_t>(n) % folds);
    for (size_t k = 0; k < num_classes; ++k) {
      const bool is_positive = rng.bernoulli(0.3);
      table.targets.push_back(rng.bernoulli(0.1) ? -1.0f : (is_positive ? 1.0f : 0.0f));
      const double score = 0.4 * static_cast<double>(is_positive) + 0.6 * rng.uniform();
      group.values.probabilities.push_back(static_cast<float>(std::round(score * 20) / 20));
    }
  }
  table.groups.push_back(std::move(group));
  return table;
}

double f1_at(const std::vector<float>& scores, const std::vector<float>& targets,
             double threshold) {
  metrics::Counts counts;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (targets[i] >= 0) {
      const bool is_predicted = scores[i] >= threshold;
      counts.true_positives += is_predicted && targets[i] == 1;
      counts.false_positives += is_predicted && targets[i] == 0;
      counts.false_negatives += !is_predicted && targets[i] == 1;
    }
  }
  return counts.f1();
}

TEST(Thresholds, AreTheBestOfAllCutsByBruteForce) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const OofTable table = random_table(60, 1, 2, seed);
    const std::vector<float>& scores = table.groups[0].values.probabilities;
    const double threshold =
        best_threshold(metrics::ranking_curve(scores, table.targets), rule("f1"));
    double best = 0;
    for (int cut = 0; cut <= 2000; ++cut) {
      best = std::max(best, f1_at(scores, table.targets, cut / 2000.0));
    }
    EXPECT_DOUBLE_EQ(f1_at(scores, table.targets, threshold), best) << "seed " << seed;
  }
}

TEST(Thresholds, LieHalfwayBetweenScores) {
  const std::vector<float> scores = {0.875f, 0.75f, 0.25f, 0.125f};
  const std::vector<float> targets = {1, 1, 0, 0};
  EXPECT_EQ(best_threshold(metrics::ranking_curve(scores, targets), rule("f1")), 0.5);
  EXPECT_EQ(best_threshold(metrics::ranking_curve(scores, targets), rule("youden")), 0.5);
}

TEST(Thresholds, TiesGoToTheCutNearestToHalfThenToTheLower) {
  // F1 is 2/3 at the cuts 0.625 (1 of 2 found, none wrong) and 0.125 (2 found, 2 wrong); 0.625 is
  // nearer to 0.5.
  const std::vector<float> scores = {0.75f, 0.5f, 0.5f, 0.25f, 0.0f};
  const std::vector<float> targets = {1, 0, 0, 1, 0};
  EXPECT_EQ(best_threshold(metrics::ranking_curve(scores, targets), rule("f1")), 0.625);
  // F1 is 2/3 at 0.625 and at 0.375 (2 found, 2 wrong), equally near: the lower one.
  const std::vector<float> even = {0.75f, 0.5f, 0.5f, 0.5f, 0.25f};
  const std::vector<float> even_targets = {1, 1, 0, 0, 0};
  EXPECT_EQ(best_threshold(metrics::ranking_curve(even, even_targets), rule("f1")), 0.375);
}

TEST(Thresholds, EveryPositiveIsFoundWhenThatIsBest) {
  const std::vector<float> scores = {0.5f, 0.25f};
  EXPECT_EQ(best_threshold(metrics::ranking_curve(scores, std::vector<float>{1, 1}), rule("f1")),
            0.125);
  EXPECT_EQ(best_threshold(metrics::ranking_curve(scores, std::vector<float>{0, 0}), rule("f1")),
            0.5)
      << "no positive";
}

TEST(Thresholds, NestedEstimateUsesOnlyTheOtherFolds) {
  // Fold 0 alone is best cut at 0.625, fold 1 alone at 0.25; each is decided by the other's.
  OofTable table;
  table.samples.classes = {"a"};
  table.samples.keys = {"k0", "k1", "k2", "k3"};
  table.folds = {0, 0, 1, 1};
  table.targets = {1, 0, 1, 0};
  Values values;
  values.probabilities = {0.75f, 0.5f, 0.375f, 0.125f};
  const ClassThresholds fitted = fit_class_thresholds(table, values, rule("f1"), 1);
  EXPECT_EQ(fitted.part_thresholds[0][0], 0.25) << "fitted without fold 0";
  EXPECT_EQ(fitted.part_thresholds[1][0], 0.625) << "fitted without fold 1";
  // k0 found, k1 wrongly found, k2 missed: F1 = 2 / (2 + 1 + 1).
  EXPECT_EQ(fitted.f1_nested[0], 0.5);
  // All four together: cut 0.25 finds both and one wrong one.
  EXPECT_EQ(fitted.thresholds[0], 0.25);
  EXPECT_DOUBLE_EQ(fitted.f1_in_sample[0], 0.8);
}

TEST(Thresholds, OneFoldIsDealtToFiveParts) {
  const OofTable table = random_table(100, 1, 1, 3);
  const FoldParts parts = fold_parts(table);
  EXPECT_TRUE(parts.are_dealt);
  EXPECT_EQ(parts.names.size(), 5u);
  EXPECT_EQ(std::set<int64_t>(parts.part_of.begin(), parts.part_of.end()).size(), 5u);
}

OofTable mask_table() {
  OofTable table;
  table.samples.task = PredictionTask::kSegmentation;
  table.samples.classes = {"building"};
  table.samples.keys = {"a", "b"};
  table.samples.mask_heights = {1, 1};
  table.samples.mask_widths = {4, 2};
  table.samples.pixel_offsets = {0, 4, 6};
  table.mask_targets = {1, 1, 0, 255, 0, 1};
  table.folds = {0, 1};
  GroupPredictions group;
  group.values.mask_probabilities = {40000, 20000, 10000, 65535, 15000, 30000};
  table.groups.push_back(group);
  return table;
}

TEST(MaskThresholds, BestLevelIsNearestToHalfAmongEquals) {
  const OofTable table = mask_table();
  const MaskThreshold fitted = fit_mask_threshold(table, table.groups[0].values, DiceKind::kGlobal);
  // Levels 15001 to 20000 find all three foreground pixels and no other.
  EXPECT_EQ(fitted.level, 20000);
  EXPECT_EQ(fitted.dice_in_sample, 1.0);
  EXPECT_DOUBLE_EQ(fitted.dice_at_half, 2.0 / 4);  // 1 found of 3
  // Without fold 0: level 30000, which misses the pixel of 20000 in fold 0; without fold 1: 20000.
  EXPECT_THAT(fitted.part_thresholds, ElementsAre(30000 / 65535.0, 20000 / 65535.0));
  EXPECT_DOUBLE_EQ(fitted.dice_nested, 2.0 * 2 / (3 + 2));
}

TEST(MaskThresholds, BruteForceOverAllLevelsFindsNoBetterDicePerImage) {
  Rng rng(5, RandomPurpose::kTest);
  OofTable table = mask_table();
  Values values;
  table.mask_targets.clear();
  for (int i = 0; i < 6; ++i) {
    table.mask_targets.push_back(static_cast<uint8_t>(rng.below(2)));
    values.mask_probabilities.push_back(static_cast<uint16_t>(rng.below(40)));
  }
  const MaskThreshold fitted = fit_mask_threshold(table, values, DiceKind::kPerImage);
  double best = 0;
  for (int level = 0; level <= 41; ++level) {
    std::vector<metrics::Confusion> images;
    const std::vector<uint8_t> decided = decide_masks(table.samples, values, level);
    for (size_t n = 0; n < 2; ++n) {
      images.emplace_back(2);
      images.back().add(
          std::span(table.mask_targets)
              .subspan(table.samples.pixel_offsets[n], table.samples.num_pixels(n)),
          std::span(decided).subspan(table.samples.pixel_offsets[n], table.samples.num_pixels(n)));
    }
    best = std::max(best, metrics::dice_per_image(images, 1));
  }
  EXPECT_DOUBLE_EQ(fitted.dice_in_sample, best);
}

TEST(Greedy, FollowsTheHandExample) {
  // Scores of ensembles by counts: model 1 is best alone, adding model 0 helps, a third addition
  // never does.
  const std::map<std::vector<int64_t>, double> scores = {
      {{1, 0}, 0.5}, {{0, 1}, 0.6}, {{1, 1}, 0.8}, {{0, 2}, 0.6}, {{2, 1}, 0.7}, {{1, 2}, 0.75}};
  const GreedySelection selection =
      select_greedily(2, 3, [&](const std::vector<int64_t>& counts) { return scores.at(counts); });
  EXPECT_THAT(selection.counts, ElementsAre(1, 1));
  EXPECT_EQ(selection.num_used, 2u);
  ASSERT_EQ(selection.steps.size(), 3u);
  EXPECT_EQ(selection.steps[0].model, 1u);
  EXPECT_EQ(selection.steps[1].model, 0u);
  EXPECT_EQ(selection.steps[2].model, 1u);
  EXPECT_EQ(selection.steps[2].score, 0.75);
}

TEST(Greedy, TiesGoToTheLowestModelAndTheShortestPrefix) {
  const GreedySelection selection =
      select_greedily(3, 4, [](const std::vector<int64_t>&) { return 0.9; });
  EXPECT_THAT(selection.counts, ElementsAre(1, 0, 0));
  EXPECT_EQ(selection.num_used, 1u);
}

TEST(EnsembleTable, EverySearchGivesWeights) {
  const EnsembleSearch search = {3, 1, [](const std::vector<int64_t>& counts) {
                                   return static_cast<double>(counts[1]) / (1.0 + counts[0]);
                                 }};
  for (const EnsembleRow& row : ensemble_table().rows()) {
    const EnsembleChoice choice = row.create(search, part_with_defaults(row));
    ASSERT_EQ(choice.counts.size(), 3u) << row.name;
    EXPECT_GT(choice.counts[1], 0) << row.name;
  }
}

TEST(ThresholdTable, EveryRuleSeparatesWhatCanBeSeparated) {
  const std::vector<float> scores = {0.1f, 0.2f, 0.7f, 0.8f};
  const std::vector<float> targets = {0, 0, 1, 1};
  for (const ThresholdRow& row : threshold_table().rows()) {
    const double threshold = best_threshold(metrics::ranking_curve(scores, targets), row);
    EXPECT_GT(threshold, 0.2) << row.name;
    EXPECT_LE(threshold, 0.7) << row.name;
  }
}

TEST(Ensemble, WeightedMeanByHand) {
  std::vector<GroupPredictions> groups(2);
  groups[0].values.probabilities = {0.0f, 0.5f};
  groups[1].values.probabilities = {1.0f, 0.25f};
  EXPECT_THAT(weighted_mean(groups, {1, 1}, 2).probabilities, ElementsAre(0.5f, 0.375f));
  EXPECT_THAT(weighted_mean(groups, {3, 1}, 1).probabilities, ElementsAre(0.25f, 0.4375f));
  groups[0].values = {{}, {0, 10}};
  groups[1].values = {{}, {65535, 11}};
  EXPECT_THAT(weighted_mean(groups, {1, 1}, 1).mask_probabilities, ElementsAre(32768, 11));
}

TEST(Scorers, EqualTheMetricsOnAllSamplesAndOnOneFold) {
  const OofTable table = random_table(90, 3, 3, 7);
  const Values& values = table.groups[0].values;
  const Decision decision = fit_decision(table, values, rule("f1"), DiceKind::kGlobal, 2);
  const auto map = scorer_row("map").create(table, values, decision, 2);
  const auto f1 = scorer_row("macro_f1").create(table, values, decision, 2);
  const std::vector<uint16_t> all(90, 1);
  EXPECT_DOUBLE_EQ(map->score(all),
                   metrics::mean_average_precision(values.probabilities, table.targets, 3).mean);
  EXPECT_DOUBLE_EQ(f1->score(all), metrics::macro_f1_at(values.probabilities, table.targets,
                                                        decision.classes->thresholds));
  std::vector<float> fold_scores, fold_targets;
  for (size_t n = 0; n < 90; ++n) {
    for (size_t k = 0; k < 3 && table.folds[n] == 1; ++k) {
      fold_scores.push_back(values.probabilities[n * 3 + k]);
      fold_targets.push_back(table.targets[n * 3 + k]);
    }
  }
  const ScoreSummary summary = summarise(*map, fold_parts(table));
  EXPECT_DOUBLE_EQ(summary.per_part[1],
                   metrics::mean_average_precision(fold_scores, fold_targets, 3).mean);
}

TEST(Scorers, WeightTwoIsTheSampleTwice) {
  OofTable table = random_table(30, 2, 2, 9);
  Values values = table.groups[0].values;
  std::vector<uint16_t> weights(30, 1);
  weights[4] = 2;
  const double weighted = scorer_row("map").create(table, values, {}, 1)->score(weights);
  for (size_t k = 0; k < 2; ++k) {
    values.probabilities.push_back(values.probabilities[4 * 2 + k]);
    table.targets.push_back(table.targets[4 * 2 + k]);
  }
  EXPECT_DOUBLE_EQ(weighted,
                   metrics::mean_average_precision(values.probabilities, table.targets, 2).mean);
}

TEST(Bootstrap, IsTheSameForAnyNumberOfThreadsAndHoldsTheScore) {
  const OofTable table = random_table(200, 3, 2, 11);
  const auto scorer = scorer_row("map").create(table, table.groups[0].values, {}, 1);
  const Interval one = bootstrap_interval(*scorer, 200, 60, 1, 1);
  const Interval two = bootstrap_interval(*scorer, 200, 60, 1, 2);
  EXPECT_EQ(one.low, two.low);
  EXPECT_EQ(one.high, two.high);
  const double score = scorer->score(std::vector<uint16_t>(200, 1));
  EXPECT_LT(one.low, score);
  EXPECT_GT(one.high, score);
  EXPECT_NE(bootstrap_interval(*scorer, 200, 60, 2, 1).low, one.low) << "another seed";
}

TEST(Metrics, ThatDoNotFitTheTaskAreRefusedWithTheChoices) {
  Samples samples;
  samples.classes = {"a", "b", "c"};
  EXPECT_EQ(choose_scorer("", samples).name, "map");
  EXPECT_THAT(message_of<UsageError>([&] { choose_scorer("dice", samples); }),
              HasSubstr("expected one of map, f1"));
  samples.task = PredictionTask::kSegmentation;
  EXPECT_EQ(choose_scorer("", samples).name, "mean_iou_per_image");
  EXPECT_THAT(message_of<UsageError>([&] { choose_scorer("dice", samples); }), HasSubstr("miou"));
  samples.classes = {"building"};
  EXPECT_EQ(choose_scorer("", samples).name, "dice_global");
}

TEST(Priors, AreWhatAConstantAnswerReaches) {
  OofTable table;
  table.samples.classes = {"a", "b"};
  table.samples.keys = {"x", "y", "z", "w"};
  table.targets = {1, 0, 0, 1, -1, 1, 0, 1};  // a: 1 of 3, b: 3 of 4
  EXPECT_THAT(class_priors(table), ElementsAre(1.0 / 3, 0.75));
  EXPECT_DOUBLE_EQ(prior_score("map", table), (1.0 / 3 + 0.75) / 2);
  // All foreground: Dice = 2 * 3 / (3 + 5) of 5 known pixels with 3 foreground.
  EXPECT_DOUBLE_EQ(prior_score("dice_global", mask_table()), 0.75);
}

}  // namespace
}  // namespace podium::gather
