// Workers that fail, are killed or are told to stop.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "tests/e2e/podium_fixture.h"

namespace podium {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

class Fault : public PodiumFixture {
 protected:
  // PID of the worker that runs in `run_dir` with this rank; 0 when there is none (yet).
  int worker_pid(const std::string& run_dir, int rank) const {
    const std::string wanted = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank);
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const auto pid = parse_int(entry.path().filename().string());
      if (!pid) continue;
      try {
        const std::string command = read_file(entry.path() / "cmdline");
        if (command.find("--run_dir=" + path(run_dir)) == std::string::npos) continue;
        const std::string environment = read_file(entry.path() / "environ");
        for (const std::string& variable : split(environment, '\0')) {
          if (variable == wanted) return static_cast<int>(*pid);
        }
      } catch (const std::exception&) {
        continue;  // it has ended meanwhile
      }
    }
    return 0;
  }
};

TEST_F(Fault, FirstFailingRankIsReportedWithItsCode) {
  ASSERT_NO_FATAL_FAILURE(make_data());
  std::filesystem::remove(root_ / "recipe.yaml");
  const PodiumResult result = podium_run(launch(2, "run"));
  EXPECT_EQ(result.code, 4) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("of 2 failed first"), HasSubstr("recipe.yaml"),
                                HasSubstr("exit code 4"), Not(HasSubstr("restart"))));
  EXPECT_FALSE(std::filesystem::exists(root_ / "run"));
}

TEST_F(Fault, KilledWorkerIsReportedAndTheRunGoesOn) {
  ASSERT_NO_FATAL_FAILURE(make_data());
  write_file_atomic(path("recipe.yaml"), recipe("color_histogram", 60));
  ASSERT_EQ(podium_run(launch(1, "undisturbed")).code, 0);
  PodiumProcess launched(launch(2, "killed"));
  ASSERT_TRUE(wait_for_steps(launched, "killed", 5)) << launched.so_far().err;
  const int pid = worker_pid("killed", 1);
  ASSERT_GT(pid, 0);
  ::kill(pid, SIGKILL);
  const PodiumResult result = launched.wait();
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("rank 1 of 2 failed first (exit code 5): killed by signal 9"),
                    HasSubstr("restart 1 of 3")));
  EXPECT_EQ(json("killed/result.json")["weights_digest"],
            json("undisturbed/result.json")["weights_digest"]);
}

TEST_F(Fault, KilledWorkerWithoutRestartsEndsWithCodeFive) {
  ASSERT_NO_FATAL_FAILURE(make_data());
  write_file_atomic(path("recipe.yaml"), recipe("color_histogram", 100'000));
  std::vector<std::string> words = launch(2, "run");
  words.insert(words.begin() + 3, "--max_restarts=0");
  PodiumProcess launched(words);
  ASSERT_TRUE(wait_for_steps(launched, "run", 5)) << launched.so_far().err;
  ::kill(worker_pid("run", 0), SIGKILL);
  const PodiumResult result = launched.wait();
  EXPECT_EQ(result.code, 5) << result.err;
  EXPECT_EQ(worker_pid("run", 1), 0);
}

TEST_F(Fault, TerminatedLaunchWritesACheckpointAndGoesOn) {
  ASSERT_NO_FATAL_FAILURE(make_data());
  for (const int workers : {1, 2}) {
    const std::string run = "run" + std::to_string(workers);
    write_file_atomic(path("recipe.yaml"), recipe("color_histogram", 60));
    PodiumProcess launched(launch(workers, run));
    ASSERT_TRUE(wait_for_steps(launched, run, 5)) << launched.so_far().err;
    launched.process().send_signal(SIGTERM);
    const PodiumResult result = launched.wait();
    EXPECT_EQ(result.code, 75) << result.err;
    EXPECT_FALSE(std::filesystem::is_empty(root_ / run / "checkpoints"));
    EXPECT_FALSE(std::filesystem::exists(root_ / run / "DONE"));
    ASSERT_NO_FATAL_FAILURE(succeed(launch(3 - workers, run)));
    EXPECT_TRUE(std::filesystem::exists(root_ / run / "DONE"));
  }
}

TEST_F(Fault, WorkersDoNotOutliveAKilledLaunch) {
  ASSERT_NO_FATAL_FAILURE(make_data());
  write_file_atomic(path("recipe.yaml"), recipe("color_histogram", 100'000));
  PodiumProcess launched(launch(2, "run"));
  ASSERT_TRUE(wait_for_steps(launched, "run", 5)) << launched.so_far().err;
  ::kill(launched.process().pid(), SIGKILL);
  launched.wait();
  for (int i = 0; i < 400 && worker_pid("run", 0) + worker_pid("run", 1) != 0; ++i) {
    std::this_thread::sleep_for(50ms);
  }
  EXPECT_EQ(worker_pid("run", 0), 0);
  EXPECT_EQ(worker_pid("run", 1), 0);
}

}  // namespace
}  // namespace podium
