// Joining by key: order of sets changes nothing, and sets that do not fit are refused by name.
#include "gather/sets/join.h"

#include <gmock/gmock.h>

#include "gather_testing.h"

namespace podium::gather {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<LoadedSet> two_groups() {
  std::vector<LoadedSet> sets;
  sets.push_back(loaded(small_set("raw", 1, {"b", "d"})));
  sets.push_back(loaded(small_set("sharp", 0, {"a", "c", "e"})));
  sets.push_back(loaded(small_set("raw", 0, {"c", "a", "e"})));
  sets.push_back(loaded(small_set("sharp", 1, {"d", "b"})));
  return sets;
}

TEST(Join, FoldsAreJoinedByKeyAndGroupsLieSideBySide) {
  const OofTable table = join_oof(two_groups());
  EXPECT_THAT(table.samples.keys, ElementsAre("a", "b", "c", "d", "e"));
  EXPECT_THAT(table.folds, ElementsAre(0, 1, 0, 1, 0));
  ASSERT_EQ(table.groups.size(), 2u);
  EXPECT_EQ(table.groups[0].name, "raw");
  EXPECT_EQ(table.groups[0].inputs.size(), 2u);
  const PredictionSet whole = small_set("raw", 0, {"a", "b", "c", "d", "e"});
  EXPECT_EQ(table.groups[0].values.probabilities, whole.probabilities);
  EXPECT_EQ(table.targets, whole.targets);
  EXPECT_EQ(table.groups[1].values.probabilities,
            small_set("sharp", 0, {"a", "b", "c", "d", "e"}).probabilities);
}

TEST(Join, OrderOfTheSetsChangesNothing) {
  std::vector<LoadedSet> reversed = two_groups();
  std::reverse(reversed.begin(), reversed.end());
  const OofTable a = join_oof(two_groups());
  const OofTable b = join_oof(std::move(reversed));
  EXPECT_EQ(a.samples.keys, b.samples.keys);
  EXPECT_EQ(a.groups[1].values.probabilities, b.groups[1].values.probabilities);
}

TEST(Join, KeyInTwoFoldsOfAGroupNamesBothSets) {
  std::vector<LoadedSet> sets = two_groups();
  sets[0].set = small_set("raw", 1, {"b", "c"});
  EXPECT_THAT(message_of<DataError>([&] { join_oof(std::move(sets)); }),
              AllOf(HasSubstr("\"c\""), HasSubstr("raw/fold0"), HasSubstr("raw/fold1")));
}

TEST(Join, MissingKeysAreCountedAndNamed) {
  std::vector<LoadedSet> sets = two_groups();
  sets[3].set = small_set("sharp", 1, {"b"});
  EXPECT_THAT(
      message_of<DataError>([&] { join_oof(std::move(sets)); }),
      AllOf(HasSubstr("\"raw\""), HasSubstr("\"sharp\""),
            HasSubstr("only in the first 1 (first \"d\")"), HasSubstr("only in the second none")));
}

TEST(Join, OtherClassesHashesDigestsAndTasksAreRefused) {
  const auto message_with = [](const std::function<void(PredictionSet&)>& change) {
    std::vector<LoadedSet> sets = two_groups();
    change(sets[3].set);
    return message_of<DataError>([&] { join_oof(std::move(sets)); });
  };
  const auto both = AllOf(HasSubstr("raw/fold1"), HasSubstr("sharp/fold1"));
  EXPECT_THAT(message_with([](PredictionSet& set) { set.class_hash = "c2"; }),
              AllOf(both, HasSubstr("class hash c1 and c2")));
  EXPECT_THAT(message_with([](PredictionSet& set) { std::swap(set.classes[0], set.classes[1]); }),
              AllOf(both, HasSubstr("class 0 is \"water\" and \"forest\"")));
  EXPECT_THAT(message_with([](PredictionSet& set) { set.data_digest = "other"; }),
              AllOf(both, HasSubstr("data digest train1 and other")));
  EXPECT_THAT(message_with([](PredictionSet& set) { set.task = PredictionTask::kSingleLabel; }),
              AllOf(both, HasSubstr("task multi_label and single_label")));
}

TEST(Join, GroupsThatDisagreeAboutATargetNameTheSample) {
  std::vector<LoadedSet> sets = two_groups();
  sets[3].set.targets[2] = 1 - sets[3].set.targets[2];  // of "d"
  EXPECT_THAT(message_of<DataError>([&] { join_oof(std::move(sets)); }),
              HasSubstr("target of sample \"d\""));
}

TEST(Join, OutOfFoldWithoutTargetsIsRefused) {
  std::vector<LoadedSet> sets = two_groups();
  sets[1].set.targets.clear();
  EXPECT_THAT(message_of<DataError>([&] { join_oof(std::move(sets)); }), HasSubstr("no targets"));
}

TEST(Join, TestFoldsAreAveraged) {
  std::vector<LoadedSet> sets;
  for (const int64_t fold : {1, 0}) {
    sets.push_back(loaded(small_set("raw", fold, {"x", "y"}, PredictionKind::kTest)));
  }
  sets[0].set.probabilities = {0.25f, 1.0f, 0.0f, 0.5f};
  sets[1].set.probabilities = {0.75f, 0.5f, 0.0f, 0.25f};
  const TestTable table = join_test(std::move(sets));
  EXPECT_THAT(table.groups[0].values.probabilities, ElementsAre(0.5f, 0.75f, 0.0f, 0.375f));
}

TEST(Join, ModelsWithoutTestPredictionsAreNamed) {
  const OofTable oof = join_oof(two_groups());
  std::vector<LoadedSet> sets;
  sets.push_back(loaded(small_set("raw", 0, {"x"}, PredictionKind::kTest)));
  const TestTable test = join_test(std::move(sets));
  EXPECT_THAT(message_of<DataError>([&] { require_same_models(oof, test); }),
              HasSubstr("raw, sharp but --test holds raw"));
}

TEST(Join, MasksOfTwoFoldsKeepTheirPixels) {
  const auto masks = [](int64_t fold, const std::string& key, std::vector<uint16_t> values,
                        std::vector<uint8_t> targets) {
    PredictionSet set;
    set.task = PredictionTask::kSegmentation;
    set.name = set.model_group = "m";
    set.fold = fold;
    set.classes = {"background", "building"};
    set.keys = {key};
    set.mask_heights = {1};
    set.mask_widths = {static_cast<int32_t>(targets.size())};
    set.mask_probabilities = std::move(values);
    set.mask_targets = std::move(targets);
    return loaded(std::move(set));
  };
  std::vector<LoadedSet> sets;
  sets.push_back(masks(0, "z", {1, 2, 3, 4}, {0, 1}));
  sets.push_back(masks(1, "y", {9, 8}, {1}));
  const OofTable table = join_oof(std::move(sets));
  EXPECT_THAT(table.samples.keys, ElementsAre("y", "z"));
  EXPECT_THAT(table.groups[0].values.mask_probabilities, ElementsAre(9, 8, 1, 2, 3, 4));
  EXPECT_THAT(table.mask_targets, ElementsAre(1, 0, 1));
  EXPECT_THAT(table.samples.pixel_offsets, ElementsAre(0, 1, 3));
}

using FindSets = FolderTest;

TEST_F(FindSets, SetRunAndSweepAreUnderstood) {
  small_set("raw", 0, {"a"}).save(root_ / "set");
  small_set("raw", 1, {"b"}).save(root_ / "run/predictions/oof");
  small_set("raw", 2, {"c"}).save(root_ / "sweep/trials/t2/run/predictions/oof");
  small_set("raw", 3, {"d"}).save(root_ / "sweep/trials/t1/run/predictions/oof");
  fs::create_directories(root_ / "sweep/trials/t3/run/predictions");
  const auto sets = load_sets({root_ / "set", root_ / "run", root_ / "sweep"},
                              PredictionKind::kOutOfFold, "--oof");
  ASSERT_EQ(sets.size(), 4u);
  EXPECT_EQ(sets[0].run_dir, "");
  EXPECT_EQ(sets[1].run_dir, fs::weakly_canonical(root_ / "run"));
  EXPECT_EQ(sets[2].set.fold, 3);
  EXPECT_EQ(sets[3].set.fold, 2);
}

TEST_F(FindSets, LogitsBecomeProbabilitiesOnce) {
  PredictionSet set = small_set("raw", 0, {"a"});
  set.value_kind = metrics::ValueKind::kSigmoidLogits;
  set.logits = {0.0f, 1000.0f};
  set.probabilities.clear();
  set.save(root_ / "set");
  const auto sets = load_sets({root_ / "set"}, PredictionKind::kOutOfFold, "--oof");
  EXPECT_THAT(sets[0].set.probabilities, ElementsAre(0.5f, 1.0f));
  EXPECT_EQ(sets[0].digest, set.digest());
}

TEST_F(FindSets, WrongPathsSayWhatWasExpected) {
  const auto load = [&](const fs::path& path) {
    return [=] { load_sets({path}, PredictionKind::kOutOfFold, "--oof"); };
  };
  EXPECT_THAT(message_of<IoError>(load(root_ / "none")),
              AllOf(HasSubstr("--oof"), HasSubstr("none")));
  fs::create_directories(root_ / "empty");
  EXPECT_THAT(message_of<DataError>(load(root_ / "empty")), HasSubstr("neither a prediction set"));
  fs::create_directories(root_ / "sweep/trials/t1/run");
  EXPECT_THAT(message_of<DataError>(load(root_ / "sweep")), HasSubstr("none of its 1 trials"));
  fs::create_directories(root_ / "run/predictions");
  EXPECT_THAT(message_of<DataError>(load(root_ / "run")), HasSubstr("no predictions/oof"));
  small_set("raw", 0, {"a"}, PredictionKind::kTest).save(root_ / "test");
  EXPECT_THAT(message_of<DataError>(load(root_ / "test")),
              HasSubstr("holds test predictions, expected out_of_fold"));
  small_set("raw", 0, {"a"}).save(root_ / "set");
  EXPECT_THAT(message_of<UsageError>([&] {
                load_sets({root_ / "set", root_ / "set/"}, PredictionKind::kOutOfFold, "--oof");
              }),
              HasSubstr("given twice"));
}

}  // namespace
}  // namespace podium::gather
