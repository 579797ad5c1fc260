// Proves the text of progress lines and that a log gets few of them.
#include "base/progress.h"

#include <gmock/gmock.h>

#include <thread>
#include <vector>

namespace podium {
namespace {

using testing::HasSubstr;

TEST(Progress, LineTellsCountRateAndRemainingTime) {
  ProgressSnapshot now{
      .what = "packing", .unit = "images", .done = 450, .total = 1000, .seconds = 4.5, .note = {}};
  EXPECT_EQ(format_progress(now, false), "packing: 450/1000 images (45%), 100 images/s, 5.5s left");
  EXPECT_EQ(format_progress(now, true),
            "packing: [##########..............] 450/1000 images (45%), 100 images/s, 5.5s left");
  now.note = "loss 0.1";
  now.is_finished = true;
  now.done = 1000;
  now.seconds = 10;
  EXPECT_EQ(format_progress(now, false),
            "packing: 1000/1000 images (100%), 100 images/s, took 10.0s, loss 0.1");
}

TEST(Progress, UnknownTotalAndMoreThanTheTotal) {
  ProgressSnapshot now{
      .what = "reading", .unit = "rows", .done = 5, .total = 0, .seconds = 10, .note = {}};
  EXPECT_EQ(format_progress(now, true), "reading: 5 rows, 0.50 rows/s");
  now.total = 4;
  EXPECT_THAT(format_progress(now, true), HasSubstr("[########################] 5/4 rows"));
}

TEST(Progress, LogGetsTheFirstAndTheLastLineFromManyThreads) {
  testing::internal::CaptureStderr();
  {
    Progress progress("testing", 400, "steps");
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 100; ++i) progress.advance();
      });
    }
    threads.clear();
    progress.set_note("done well");
    progress.finish();
    progress.finish();
  }
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2) << text;
  EXPECT_THAT(text, HasSubstr("testing: 0/400 steps (0%)"));
  EXPECT_THAT(text,
              testing::ContainsRegex("testing: 400/400 steps \\(100%\\), .*took .*, done well\n"));
}

}  // namespace
}  // namespace podium
