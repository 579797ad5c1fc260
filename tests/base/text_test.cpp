// Proves the parsers' strictness, the nearest name and the numbers for people, by values worked out
// by hand.
#include "base/text.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/base/test_support.h"

namespace podium {
namespace {

using testing::ElementsAre;

TEST(Text, SplitKeepsEmptyPartsAndJoinIsItsInverse) {
  EXPECT_THAT(split("a,,b,", ','), ElementsAre("a", "", "b", ""));
  EXPECT_THAT(split("", ','), ElementsAre(""));
  EXPECT_EQ(join(split("a,,b,", ','), ","), "a,,b,");
}

TEST(Text, TrimAndLower) {
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(trim("  "), "");
  EXPECT_EQ(lower("AbZ-9"), "abz-9");
}

TEST(Text, ParseIntTakesWholeStringsOnly) {
  EXPECT_EQ(parse_int("-42"), -42);
  EXPECT_EQ(parse_int("+7"), 7);
  EXPECT_EQ(parse_int("9223372036854775807"), std::numeric_limits<int64_t>::max());
  for (const char* bad :
       {"", " 1", "1 ", "1.0", "0x10", "9223372036854775808", "+-1", "+", "one"}) {
    EXPECT_EQ(parse_int(bad), std::nullopt) << bad;
  }
}

TEST(Text, ParseDoubleTakesWholeStringsOnly) {
  EXPECT_EQ(parse_double("1e-3"), 0.001);
  EXPECT_EQ(parse_double("+.5"), 0.5);
  for (const char* bad : {"", "1,5", "1.0x", " 1", "+-1", "1e999"}) {
    EXPECT_EQ(parse_double(bad), std::nullopt) << bad;
  }
}

TEST(Text, NearestNameFindsTyposSwapsAndForgottenSections) {
  const std::vector<std::string> names = {"optimizer.lr", "optimizer.name", "image_id"};
  EXPECT_EQ(nearest_name("optimizer.lrr", names), "optimizer.lr");
  EXPECT_EQ(nearest_name("optimizer.nmae", names), "optimizer.name");
  EXPECT_EQ(nearest_name("img_id", names), "image_id");
  EXPECT_EQ(nearest_name("Image_ID", names), "image_id");
  EXPECT_EQ(nearest_name("lr", names), "optimizer.lr");
  EXPECT_EQ(nearest_name("banana", names), "");
  EXPECT_EQ(nearest_name("x", {}), "");
  EXPECT_EQ(did_you_mean("img_id", names), " (did you mean \"image_id\"?)");
  EXPECT_EQ(did_you_mean("banana", names), "");
}

TEST(Text, ShortestReadsBackToTheSameNumber) {
  EXPECT_EQ(shortest(0.1), "0.1");
  EXPECT_EQ(shortest(0.1f), "0.1");
  EXPECT_EQ(shortest(0.25), "0.25");
  EXPECT_EQ(shortest(3e-4), "3e-04");
  for (const double value : {1.0 / 3, 1e300, 5e-324, 123456789.123456789}) {
    EXPECT_EQ(parse_double(shortest(value)), value);
  }
}

TEST(Text, HumanBytes) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(12'345'678), "12.3 MB");
  EXPECT_EQ(human_bytes(999'999), "1.0 MB");
}

TEST(Text, HumanSeconds) {
  EXPECT_EQ(human_seconds(0.25), "250ms");
  EXPECT_EQ(human_seconds(4.21), "4.2s");
  EXPECT_EQ(human_seconds(65), "1m 05s");
  EXPECT_EQ(human_seconds(59.97), "1m 00s");
  EXPECT_EQ(human_seconds(3723), "1h 02m");
  EXPECT_EQ(human_seconds(90000), "1d 01h");
  EXPECT_EQ(human_seconds(std::nan("")), "?");
}

}  // namespace
}  // namespace podium
