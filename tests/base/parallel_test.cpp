// Proves that each index is visited once and that the reported error does not depend on timing.
#include "base/parallel.h"

#include <sched.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "tests/base/test_support.h"

namespace podium {
namespace {

TEST(Parallel, CoresFollowTheAffinityMask) {
  EXPECT_GE(available_cores(), 1);
  std::thread([] {
    cpu_set_t old, one;
    ASSERT_EQ(sched_getaffinity(0, sizeof(old), &old), 0);
    CPU_ZERO(&one);
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &old)) {
        CPU_SET(core, &one);
        break;
      }
    }
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    EXPECT_EQ(available_cores(), 1);
  }).join();
}

class ParallelFor : public testing::TestWithParam<int> {};

TEST_P(ParallelFor, VisitsEachIndexOnce) {
  for (const int64_t n : {0, 1, 3, 1000}) {
    std::vector<std::atomic<int>> hits(static_cast<size_t>(n));
    parallel_for(n, GetParam(), [&](int64_t i) { ++hits.at(static_cast<size_t>(i)); });
    for (const auto& hit : hits) EXPECT_EQ(hit, 1);
  }
}

TEST_P(ParallelFor, ReportsTheLowestFailure) {
  std::atomic<int> num_running{0};
  const auto work = [&](int64_t i) {
    ++num_running;
    // The lower failure comes later.
    if (i == 5) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    --num_running;
    if (i == 5 || i == 7) throw DataError("index " + std::to_string(i));
  };
  const std::string message = message_of<DataError>([&] { parallel_for(1000, GetParam(), work); });
  EXPECT_EQ(message, "index 5");
  EXPECT_EQ(num_running, 0);
}
INSTANTIATE_TEST_SUITE_P(Threads, ParallelFor, testing::Values(0, 1, 2, 8));

TEST(Parallel, UsesSeveralThreads) {
  std::atomic<int> num_waiting{0};
  // Both calls wait for each other: one thread alone would give up.
  parallel_for(2, 2, [&](int64_t) {
    ++num_waiting;
    for (int i = 0; i < 5000 && num_waiting < 2; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(num_waiting, 2);
  });
}

}  // namespace
}  // namespace podium
