// Proves Philox by the known answers of Random123 (its kat_vectors file, philox4x32 10), and the
// streams by values from randomgen 2.5.0 and xxhash 4.1.0 (tests/base/make_fixtures.py).
#include "base/rng.h"

#include <gmock/gmock.h>

#include <cmath>
#include <set>
#include <vector>

namespace podium {
namespace {

using testing::ElementsAre;

TEST(Philox, KnownAnswersOfRandom123) {
  EXPECT_THAT(philox4x32_10({0, 0, 0, 0}, {0, 0}),
              ElementsAre(0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u));
  const uint32_t ones = 0xffffffffu;
  EXPECT_THAT(philox4x32_10({ones, ones, ones, ones}, {ones, ones}),
              ElementsAre(0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu));
  EXPECT_THAT(philox4x32_10({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
                            {0xa4093822u, 0x299f31d0u}),
              ElementsAre(0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u));
}

TEST(Rng, StreamIsPhiloxKeyedByTheHashOfItsIdentity) {
  Rng rng(7, RandomPurpose::kAugment, 3, 0x0123456789abcdefu);
  EXPECT_EQ(rng.next_u64(), 0x6b600016040dd726u);
  EXPECT_EQ(rng.next_u64(), 0x869baa22abd3c59cu);
  EXPECT_EQ(rng.next_u64(), 0x97752e282cb3d06eu);
  EXPECT_EQ(derive_seed(7, RandomPurpose::kAugment, 3, 0x0123456789abcdefu), 0xa728caec08c76f2au);
}

TEST(Rng, LowWordComesFirst) {
  Rng words(7, RandomPurpose::kAugment, 3, 0x0123456789abcdefu);
  EXPECT_EQ(words.next_u32(), 0x040dd726u);
  EXPECT_EQ(words.next_u32(), 0x6b600016u);
}

TEST(Rng, EveryPartOfTheKeyChangesTheStream) {
  std::set<uint64_t> firsts = {
      Rng(1, RandomPurpose::kTest, 2, 3)(), Rng(9, RandomPurpose::kTest, 2, 3)(),
      Rng(1, RandomPurpose::kDemo, 2, 3)(), Rng(1, RandomPurpose::kTest, 9, 3)(),
      Rng(1, RandomPurpose::kTest, 2, 9)(), Rng(1, RandomPurpose::kTest, 3, 2)()};
  EXPECT_EQ(firsts.size(), 6u);
}

TEST(Rng, UniformStaysInRangeWithTheRightMean) {
  Rng rng(1, RandomPurpose::kTest);
  double sum = 0;
  constexpr int kCount = 20000;
  for (int i = 0; i < kCount; ++i) {
    const double value = rng.uniform(-2, 6);
    ASSERT_GE(value, -2);
    ASSERT_LT(value, 6);
    sum += value;
  }
  // Mean 2, standard error 8 / sqrt(12 * 20000) = 0.016.
  EXPECT_NEAR(sum / kCount, 2, 0.08);
  EXPECT_EQ(rng.uniform(3, 3), 3);
  const double next = std::nextafter(1.0, 2.0);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(rng.uniform(1, next), 1);
}

TEST(Rng, BelowIsUniform) {
  Rng rng(2, RandomPurpose::kTest);
  std::vector<int> counts(7);
  constexpr int kCount = 14000;
  for (int i = 0; i < kCount; ++i) ++counts.at(rng.below(7));
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - 2000.0) * (count - 2000.0) / 2000.0;
  EXPECT_LT(chi_square, 22.5);  // 6 degrees of freedom, p = 0.001
  EXPECT_EQ(rng.below(1), 0u);
}

TEST(Rng, BelowReachesBothHalvesOfHugeRanges) {
  Rng rng(3, RandomPurpose::kTest);
  const uint64_t n = (uint64_t{1} << 63) + 1;
  int num_upper = 0;
  for (int i = 0; i < 200; ++i) {
    const uint64_t value = rng.below(n);
    ASSERT_LT(value, n);
    num_upper += value >= n / 2;
  }
  EXPECT_GT(num_upper, 60);
  EXPECT_LT(num_upper, 140);
}

TEST(Rng, NormalHasTheRightMoments) {
  Rng rng(4, RandomPurpose::kTest);
  constexpr int kCount = 20000;
  double sum = 0, squares = 0, fourth = 0;
  for (int i = 0; i < kCount; ++i) {
    const double value = rng.normal();
    sum += value;
    squares += value * value;
    fourth += std::pow(value, 4);
  }
  EXPECT_NEAR(sum / kCount, 0, 0.035);
  EXPECT_NEAR(squares / kCount, 1, 0.05);
  EXPECT_NEAR(fourth / kCount, 3, 0.35);
}

TEST(Rng, BernoulliHasItsProbabilityAndItsEnds) {
  Rng rng(5, RandomPurpose::kTest);
  int hits = 0;
  for (int i = 0; i < 10000; ++i) {
    hits += rng.bernoulli(0.3);
    ASSERT_FALSE(rng.bernoulli(0));
    ASSERT_TRUE(rng.bernoulli(1));
  }
  EXPECT_NEAR(hits, 3000, 230);
}

}  // namespace
}  // namespace podium
