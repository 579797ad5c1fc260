// Proves that each permutation is a bijection, depends on seed and epoch, and favours no position.
#include "base/permutation.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace podium {
namespace {

std::vector<uint64_t> all_of(const KeyedPermutation& permutation) {
  std::vector<uint64_t> order;
  for (uint64_t i = 0; i < permutation.size(); ++i) order.push_back(permutation[i]);
  return order;
}

class PermutationOfSize : public testing::TestWithParam<uint64_t> {};

TEST_P(PermutationOfSize, IsABijection) {
  const KeyedPermutation permutation(GetParam(), 7, 3);
  std::vector<int> hits(GetParam());
  for (const uint64_t element : all_of(permutation)) ++hits.at(element);
  EXPECT_EQ(hits, std::vector<int>(GetParam(), 1));
}
INSTANTIATE_TEST_SUITE_P(Sizes, PermutationOfSize,
                         testing::Values(1, 2, 3, 10, 63, 64, 65, 1000, 1024, 1025));

TEST(Permutation, HasASize) { EXPECT_EQ(KeyedPermutation(10, 1, 1).size(), 10u); }

TEST(Permutation, DependsOnSeedAndEpochOnly) {
  const auto order = all_of(KeyedPermutation(100, 1, 0));
  EXPECT_EQ(order, all_of(KeyedPermutation(100, 1, 0)));
  EXPECT_NE(order, all_of(KeyedPermutation(100, 1, 1)));
  EXPECT_NE(order, all_of(KeyedPermutation(100, 2, 0)));
}

TEST(Permutation, AllOrdersOfThreeAreEquallyLikely) {
  std::map<std::vector<uint64_t>, int> counts;
  for (uint64_t epoch = 0; epoch < 6000; ++epoch) ++counts[all_of(KeyedPermutation(3, 5, epoch))];
  ASSERT_EQ(counts.size(), 6u);
  double chi_square = 0;
  for (const auto& [order, count] : counts)
    chi_square += (count - 1000.0) * (count - 1000.0) / 1000;
  EXPECT_LT(chi_square, 20.5);  // 5 degrees of freedom, p = 0.001
}

TEST(Permutation, EachElementIsEquallyLikelyAtTheFirstPosition) {
  std::vector<int> counts(20);
  for (uint64_t epoch = 0; epoch < 8000; ++epoch) ++counts.at(KeyedPermutation(20, 9, epoch)[0]);
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - 400.0) * (count - 400.0) / 400;
  EXPECT_LT(chi_square, 43.8);  // 19 degrees of freedom, p = 0.001
}

TEST(Permutation, HugeSizesStayInRange) {
  const uint64_t n = (uint64_t{1} << 63) + 12345;
  const KeyedPermutation permutation(n, 1, 1);
  for (uint64_t i = 0; i < 50; ++i) EXPECT_LT(permutation[n - 1 - i], n);
}

}  // namespace
}  // namespace podium
