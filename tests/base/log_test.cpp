// Proves the shape of log lines. init_logging is never called here: logging must work without it.
#include "base/log.h"

#include <gmock/gmock.h>

#include <functional>
#include <string>

namespace podium {
namespace {

using testing::MatchesRegex;

std::string logged(const std::function<void()>& function) {
  testing::internal::CaptureStderr();
  function();
  return testing::internal::GetCapturedStderr();
}

TEST(Log, LinesOfASingleProcessHaveLevelAndTime) {
  EXPECT_THAT(logged([] { log_info("packed {} images", 3); }),
              MatchesRegex("I [0-9][0-9]:[0-9][0-9]:[0-9][0-9] packed 3 images\n"));
  EXPECT_THAT(logged([] { log_warning("slow"); }), MatchesRegex("W [0-9:]+ slow\n"));
  EXPECT_THAT(logged([] { log_error("bad {{}}"); }), MatchesRegex("E [0-9:]+ bad \\{\\}\n"));
}

TEST(Log, RankPrefixOnlyWithSeveralWorkers) {
  set_log_rank(3, 4);
  EXPECT_THAT(logged([] { log_info("hello"); }), MatchesRegex("\\[rank 3\\] I [0-9:]+ hello\n"));
  set_log_rank(0, 1);
  EXPECT_THAT(logged([] { log_info("hello"); }), MatchesRegex("I [0-9:]+ hello\n"));
}

}  // namespace
}  // namespace podium
