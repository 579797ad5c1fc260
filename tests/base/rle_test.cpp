// Run-length code by hand.
#include "base/rle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/message_of.h"

namespace podium {
namespace {

using testing::HasSubstr;

TEST(Rle, RowMajorByHand) {
  // 0 1 1
  // 1 0 1
  const std::vector<uint8_t> mask = {0, 1, 1, 1, 0, 1};
  EXPECT_EQ(encode_rle(mask, 2, 3, RleOrder::kRowMajor), "2 3 6 1");
  EXPECT_EQ(encode_rle(mask, 2, 3, RleOrder::kColumnMajor), "2 2 5 2");
  EXPECT_EQ(decode_rle("2 3 6 1", 2, 3, RleOrder::kRowMajor), mask);
  EXPECT_EQ(decode_rle("2 2 5 2", 2, 3, RleOrder::kColumnMajor), mask);
}

TEST(Rle, EmptyAndFullMasks) {
  EXPECT_EQ(encode_rle(std::vector<uint8_t>(6, 0), 2, 3, RleOrder::kRowMajor), "-1");
  EXPECT_EQ(encode_rle(std::vector<uint8_t>(6, 1), 2, 3, RleOrder::kColumnMajor), "1 6");
  EXPECT_EQ(decode_rle("", 2, 3, RleOrder::kRowMajor), std::vector<uint8_t>(6, 0));
  EXPECT_EQ(decode_rle("-1", 2, 3, RleOrder::kRowMajor), std::vector<uint8_t>(6, 0));
}

TEST(Rle, RunsMayTouch) {
  EXPECT_EQ(decode_rle("1 2 3 1", 2, 3, RleOrder::kRowMajor),
            (std::vector<uint8_t>{1, 1, 1, 0, 0, 0}));
}

TEST(Rle, RunsThatDoNotFitAreNamed) {
  for (const char* text : {"1 7", "0 1", "3 1 2 1", "1 2 2 1", "x 1", "2 0"}) {
    EXPECT_THAT(message_of<DataError>([&] { decode_rle(text, 2, 3, RleOrder::kRowMajor); }),
                HasSubstr("does not fit"))
        << text;
  }
  EXPECT_THAT(message_of<DataError>([&] { decode_rle("1 2 3", 2, 3, RleOrder::kRowMajor); }),
              HasSubstr("pairs"));
}

}  // namespace
}  // namespace podium
