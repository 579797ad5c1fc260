// Folds: quality beside a public package, exact counts, groups, determinism, folds.json.
#include "data_shards/plan/splits.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data_shards/plan/splits_stratify.h"
#include "tests/data_shards/pack_fixture.h"

namespace podium::data_shards {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using Counts = std::vector<std::vector<int64_t>>;

StratifyInput input_of(const std::vector<std::string>& rows) {
  StratifyInput input;
  input.num_classes = static_cast<int64_t>(rows.front().size());
  for (const std::string& row : rows) {
    std::vector<std::pair<int32_t, int64_t>> positives;
    for (size_t k = 0; k < row.size(); ++k) {
      if (row[k] == '1') positives.emplace_back(static_cast<int32_t>(k), 1);
    }
    input.add_unit(1, positives);
  }
  return input;
}

struct FoldCounts {
  std::vector<int64_t> sizes;
  Counts counts;
};

FoldCounts count_folds(const StratifyInput& input, const std::vector<int32_t>& fold_of,
                       size_t num_folds) {
  FoldCounts result;
  result.sizes.assign(num_folds, 0);
  result.counts.assign(num_folds, std::vector<int64_t>(static_cast<size_t>(input.num_classes), 0));
  for (size_t unit = 0; unit < fold_of.size(); ++unit) {
    const auto fold = static_cast<size_t>(fold_of[unit]);
    result.sizes[fold] += input.sizes[unit];
    for (const auto& [label, count] : input.positives[unit]) {
      result.counts[fold][static_cast<size_t>(label)] += count;
    }
  }
  return result;
}

// Fixture: iterative-stratification 0.1.9 on 240 samples with 8 labels of 2 % to 60 %, seeds 0 to 9
// (make_splits_fixture.py).
TEST(IterativeStratification, IsNotWorseThanThePublicPackage) {
  const auto fixture = nlohmann::json::parse(
      read_file(std::filesystem::path(PODIUM_TEST_DATA) / "iterstrat_folds.json"));
  const auto input = input_of(fixture.at("labels").get<std::vector<std::string>>());
  const auto num_folds = fixture.at("num_folds").get<size_t>();
  const auto totals = input.class_totals();
  double theirs = 0;
  double ours = 0;
  int64_t their_size_gap = 0;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const auto& run = fixture.at("runs").at(seed);
    const auto sizes = run.at("sizes").get<std::vector<int64_t>>();
    theirs += label_distribution(run.at("counts").get<Counts>(), sizes, totals, 240) / 10;
    const auto [low, high] = std::minmax_element(sizes.begin(), sizes.end());
    their_size_gap = std::max(their_size_gap, *high - *low);
    const std::vector<double> ratios(num_folds, 1.0 / static_cast<double>(num_folds));
    const auto mine = count_folds(input, iterative_stratification(input, ratios, seed), num_folds);
    ours += label_distribution(mine.counts, mine.sizes, totals, 240) / 10;
    const auto [min, max] = std::minmax_element(mine.sizes.begin(), mine.sizes.end());
    EXPECT_LE(*max - *min, std::max<int64_t>(their_size_gap, 4));
  }
  EXPECT_LE(ours, 1.05 * theirs);
  EXPECT_GT(theirs, 0);
}

// 100 single-label samples, classes of 50, 31, 12 and 7: five folds get floor or ceiling of a
// fifth.
TEST(IterativeStratification, SingleLabelCountsDifferByAtMostOne) {
  std::vector<std::string> rows;
  for (int i = 0; i < 50; ++i) rows.emplace_back("1000");
  for (int i = 0; i < 31; ++i) rows.emplace_back("0100");
  for (int i = 0; i < 12; ++i) rows.emplace_back("0010");
  for (int i = 0; i < 7; ++i) rows.emplace_back("0001");
  const auto input = input_of(rows);
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const auto result =
        count_folds(input, iterative_stratification(input, std::vector<double>(5, 0.2), seed), 5);
    for (const auto& fold : result.counts) {
      EXPECT_EQ(fold[0], 10);
      EXPECT_THAT(fold[1], testing::AnyOf(6, 7));
      EXPECT_THAT(fold[2], testing::AnyOf(2, 3));
      EXPECT_THAT(fold[3], testing::AnyOf(1, 2));
    }
    EXPECT_THAT(result.sizes, Each(20));
  }
}

TEST(IterativeStratification, SeedDecides) {
  std::vector<std::string> rows;
  for (int i = 0; i < 40; ++i) rows.push_back(i % 2 == 0 ? "10" : "01");
  const auto input = input_of(rows);
  const std::vector<double> ratios(4, 0.25);
  EXPECT_EQ(iterative_stratification(input, ratios, 3), iterative_stratification(input, ratios, 3));
  EXPECT_NE(iterative_stratification(input, ratios, 3), iterative_stratification(input, ratios, 4));
}

// By hand: fold of 4 samples, 2 of class a and 1 of b; all 10 samples, 4 and 5.
// a: |2/4 - 4/10| = 0.1, b: |1/4 - 5/10| = 0.25; the mean is 0.175.
TEST(SplitQuality, LabelDistributionByHand) {
  EXPECT_NEAR(label_distribution({{2, 1}}, {4}, {4, 5}, 10), 0.175, 1e-15);
}

// By hand: outside 6 samples, 2 of a and 4 of b. d_a = 100 (2/6 - 2/4) = -16.67, d_b = 100 (4/6 -
// 1/4) = 41.67; sigma = 29.17.
TEST(SplitQuality, RatioSpreadByHand) {
  EXPECT_NEAR(ratio_spread({2, 1}, 4, {4, 5}, 10), 175.0 / 6, 1e-12);
}

TEST(BestOfRandom, MoreTriesNeverSpreadMore) {
  Rng rng(5, RandomPurpose::kTest);
  std::vector<std::string> rows;
  for (int i = 0; i < 100; ++i) {
    std::string row;
    for (double p : {0.5, 0.2, 0.1}) row.push_back(rng.bernoulli(p) ? '1' : '0');
    rows.push_back(row);
  }
  const auto input = input_of(rows);
  const auto spread = [&](int64_t tries) {
    const auto result = count_folds(input, best_random_split(input, 0.2, tries, 9), 2);
    EXPECT_EQ(result.sizes[0], 20);
    return ratio_spread(result.counts[0], 20, input.class_totals(), 100);
  };
  const double of_one = spread(1);
  const double of_many = spread(50);
  EXPECT_LT(of_many, of_one);
  EXPECT_LE(spread(200), of_many);
}

// A packed set without groups for the tests of Folds.
std::shared_ptr<const Dataset> packed(const TestFolder& folder, int n) {
  pack(write_multilabel_input(folder, n));
  return Dataset::open(folder / "out");
}

TEST(Folds, EverySampleValidatesOnce) {
  const TestFolder folder;
  const auto dataset = packed(folder, 20);
  const Folds folds = make_folds(*dataset, {.num_folds = 4, .seed = 1});
  std::vector<int> seen(20, 0);
  for (int64_t fold = 0; fold < 4; ++fold) {
    const auto val = folds.val_indices(*dataset, fold);
    const auto train = folds.train_indices(*dataset, fold);
    EXPECT_EQ(val.size() + train.size(), 20U);
    for (int64_t i : val) {
      ++seen[static_cast<size_t>(i)];
      EXPECT_EQ(std::count(train.begin(), train.end(), i), 0);
    }
  }
  EXPECT_THAT(seen, Each(1));
  const SplitQuality quality = measure_split(*dataset, folds);
  // Water: 10 of 20; each fold of 4 has 2 or 3.
  for (const auto& fold : quality.counts) EXPECT_THAT(fold[0], testing::AnyOf(2, 3));
}

TEST(Folds, HoldoutAndBestOfRandomHaveOneFold) {
  const TestFolder folder;
  const auto dataset = packed(folder, 20);
  for (SplitMethod method : {SplitMethod::kHoldout, SplitMethod::kBestOfRandom}) {
    const Folds folds = make_folds(*dataset, {.method = method, .val_fraction = 0.2, .seed = 2});
    EXPECT_EQ(folds.num_folds, 1);
    EXPECT_EQ(folds.val_indices(*dataset, 0).size(), 4U);
    EXPECT_EQ(folds.train_indices(*dataset, 0).size(), 16U);
    EXPECT_TRUE(std::isfinite(measure_split(*dataset, folds).std_of_ratio_differences));
  }
}

TEST(Folds, FileSurvivesARoundTrip) {
  const TestFolder folder;
  const auto dataset = packed(folder, 8);
  Folds folds = make_folds(*dataset, {.num_folds = 2, .seed = ~uint64_t{0}});
  folds.save(folder / "folds.json");
  const Folds again = Folds::load(folder / "folds.json");
  EXPECT_EQ(again.method, "kfold");
  EXPECT_EQ(again.seed, ~uint64_t{0});
  EXPECT_EQ(again.keys, folds.keys);
  EXPECT_EQ(again.fold_of, folds.fold_of);
  EXPECT_EQ(again.data_digest, dataset->digest());
}

TEST(Folds, FoldsOfAnotherSetAreRefused) {
  const TestFolder folder;
  const auto dataset = packed(folder, 8);
  Folds folds = make_folds(*dataset, {.num_folds = 2});
  EXPECT_THAT(message_of<DataError>([&] { folds.val_indices(*dataset, 2); }),
              HasSubstr("fold 2 of 2"));
  folds.keys[3] = "img_99";
  EXPECT_THAT(message_of<DataError>([&] { folds.val_indices(*dataset, 0); }),
              AllOf(HasSubstr("\"img_99\""), HasSubstr("run podium split again")));
  folds.keys.pop_back();
  folds.fold_of.pop_back();
  EXPECT_THAT(message_of<DataError>([&] { folds.train_indices(*dataset, 0); }),
              HasSubstr("7 keys"));
}

TEST(Folds, BadFilesAreNamed) {
  const TestFolder folder;
  const auto load_error = [&](const std::string& text) {
    write_text(folder / "folds.json", text);
    return message_of<DataError>([&] { Folds::load(folder / "folds.json"); });
  };
  const std::string head =
      R"({"format":"podium-folds","version":1,"method":"kfold","data_digest":"","seed":0,)";
  EXPECT_THAT(load_error("{"), HasSubstr("folds.json: "));
  EXPECT_THAT(load_error(R"({"format":"podium-folds","version":3})"), HasSubstr("version 3"));
  EXPECT_THAT(load_error(head + R"("num_folds":2})"), HasSubstr("fold_of"));
  EXPECT_THAT(load_error(head + R"("num_folds":2,"fold_of":[["a",2]]})"),
              HasSubstr("key \"a\" has fold 2"));
  EXPECT_THAT(load_error(head + R"("num_folds":2,"fold_of":[["a",0],["a",1]]})"),
              HasSubstr("key \"a\" is there twice"));
}

TEST(Folds, TooFewGroupsOrNoLabelsAreErrors) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 3);
  pack(options);
  EXPECT_THAT(
      message_of<DataError>([&] { make_folds(*Dataset::open(options.output), {.num_folds = 4}); }),
      HasSubstr("3 groups, but 4 folds"));
  write_text(options.input, "img_id,img_path\nx,train/img_0.jpg\n");
  options.output = folder / "test";
  pack(options);
  EXPECT_THAT(message_of<DataError>([&] { make_folds(*Dataset::open(options.output), {}); }),
              HasSubstr("no labels"));
}

// Units of a group move as one, and the sizes still come out even.
TEST(IterativeStratification, GroupsStayWholeAndEven) {
  StratifyInput input;
  input.num_classes = 2;
  for (int i = 0; i < 30; ++i) {
    const int64_t size = 1 + i % 3;
    input.add_unit(size, {{i % 2, size}});
  }
  const auto result =
      count_folds(input, iterative_stratification(input, std::vector<double>(3, 1.0 / 3), 1), 3);
  for (const auto& fold : result.counts) EXPECT_THAT(fold, ElementsAre(10, 10));
}

}  // namespace
}  // namespace podium::data_shards
