// Starts mpi_worker under mpirun and reads what the ranks say. Read next: mpi_worker.cpp.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "base/process/subprocess.h"
#include "tests/distributed/mpi_run.h"

namespace podium {
namespace {

using testing::Environment;
using ::testing::HasSubstr;
using testing::MpiOutcome;
using testing::run_workers;

// "CASE digest" lines. mpirun may warn about the machine in between.
std::map<std::string, std::string> digests_of(int world_size, const Environment& environment = {}) {
  const MpiOutcome outcome = run_workers(world_size, {"reducer"}, environment);
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  std::map<std::string, std::string> digests;
  std::istringstream lines(outcome.output);
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.find(' ');
    const std::string digest = space == std::string::npos ? "" : line.substr(space + 1);
    if (digest.size() == 32 && digest.find_first_not_of("0123456789abcdef") == std::string::npos) {
      digests[line.substr(0, space)] = digest;
    }
  }
  return digests;
}

TEST(MpiReducer, TreeGivesTheSameBitsForAnyNumberOfRanksAndAnyBucketSize) {
  std::map<std::string, std::map<int, std::string>> by_case;
  for (const int world_size : {1, 2, 4, 8}) {
    for (const auto& [name, digest] : digests_of(world_size)) by_case[name][world_size] = digest;
  }
  ASSERT_EQ(by_case.size(), 13u);
  for (const int accumulation : {1, 3}) {
    const std::string expected = by_case[fmt::format("tree_accum{}_bucket1", accumulation)][1];
    for (const char* bucket : {"1", "400", "26214400"}) {
      const auto& tree = by_case[fmt::format("tree_accum{}_bucket{}", accumulation, bucket)];
      for (const int world_size : {1, 2, 4, 8}) {
        EXPECT_EQ(tree.at(world_size), expected)
            << "accumulation " << accumulation << ", bucket " << bucket << ", W " << world_size;
      }
      // The test can fail: sums in the order of arrival (`+=` in one worker, a plain all-reduce
      // between workers) do differ between one and four ranks.
      const auto& plain = by_case[fmt::format("all_reduce_accum{}_bucket{}", accumulation, bucket)];
      EXPECT_NE(plain.at(1), plain.at(4))
          << "accumulation " << accumulation << ", bucket " << bucket;
      EXPECT_NE(plain.at(1), expected);
    }
  }
  // So does a generator that is seeded by rank instead of by logical worker.
  EXPECT_NE(by_case["rank_seeds"].at(1), by_case["rank_seeds"].at(2));
  EXPECT_NE(by_case["rank_seeds"].at(2), by_case["rank_seeds"].at(4));
}

// One machine plays several nodes: sums inside a node first, then between nodes.
TEST(MpiReducer, TwoLevelsGiveTheBitsOfOne) {
  const auto expected = digests_of(1);
  for (const auto& [world_size, ranks_per_node] : {std::pair{4, 2}, {8, 2}, {8, 4}}) {
    const auto digests =
        digests_of(world_size, {{"PODIUM_RANKS_PER_NODE", std::to_string(ranks_per_node)}});
    ASSERT_EQ(digests.size(), expected.size());
    for (const auto& [name, digest] : digests) {
      if (!name.starts_with("tree_")) continue;
      EXPECT_EQ(digest, expected.at(name))
          << name << ", W " << world_size << ", " << ranks_per_node << " ranks per node";
    }
  }
}

TEST(MpiCollectives, EveryOperationGivesTheValuesWrittenByHand) {
  for (const int world_size : {2, 3}) {
    const MpiOutcome outcome = run_workers(world_size, {"collectives"});
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("done"));
  }
}

TEST(MpiCommunicator, EveryOperationGivesTheValuesWrittenByHand) {
  for (const int world_size : {2, 4}) {
    const MpiOutcome outcome = run_workers(world_size, {"communicator"});
    EXPECT_EQ(outcome.code, 0) << outcome.output;
  }
}

TEST(MpiCommunicator, TimeoutNamesOperationRankAndWhereTheAbsentRankWas) {
  const MpiOutcome outcome = run_workers(3, {"late"});
  EXPECT_EQ(outcome.code, 5) << outcome.output;  // ExitCode::kDistributed
  EXPECT_LT(outcome.seconds, 50) << "the sleeping rank was waited for";
  EXPECT_THAT(outcome.output,
              ::testing::ContainsRegex(
                  "all_to_all #[0-9]+ \\(rank [02]\\): not arrived after 1 s: "
                  "rank 1 \\(last in broadcast #[0-9]+, [0-9.]+ s ago\\); see the log"));
}

TEST(MpiControlChannel, ExplainsATimeoutOfAnOperationThatRunsElsewhere) {
  const MpiOutcome outcome = run_workers(2, {"explain"});
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_THAT(outcome.output,
              ::testing::ContainsRegex("all_gather #2 \\(rank 0\\): not arrived after 60 s: "
                                       "rank 1 \\(last in barrier #1, [0-9.]+ s ago\\)"));
}

TEST(MpiCommunicator, ErrorNamesARankInAnotherOperation) {
  const MpiOutcome outcome = run_workers(2, {"mismatch"});
  EXPECT_EQ(outcome.code, 5) << outcome.output;
  // Either rank may notice first: by MPI's error, or by the timeout.
  EXPECT_THAT(outcome.output,
              ::testing::ContainsRegex("rank 1 \\(called barrier as #[0-9]+\\)|"
                                       "rank 0 \\(called all_to_all as #[0-9]+\\)"));
}

TEST(MpiCommunicator, ErrorOnOneRankEndsAllWithItsExitCode) {
  const MpiOutcome outcome = run_workers(2, {"die"});
  EXPECT_EQ(outcome.code, 3) << outcome.output;  // ExitCode::kData
  EXPECT_LT(outcome.seconds, 60);
  EXPECT_THAT(outcome.output, HasSubstr("rank 1 found a bad sample"));
}

TEST(MpiCommunicator, WaitingLeavesTheCoresToThoseWhoCompute) {
  const MpiOutcome outcome = run_workers(2, {"idle"});
  EXPECT_EQ(outcome.code, 0) << outcome.output;
}

TEST(MpiCommunicator, SrunWithoutPmixNamesTheFlag) {
  SubprocessOptions options;
  std::string output;
  options.arguments = {PODIUM_MPI_WORKER, "communicator"};
  options.set_env = {{"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_PROCID", "0"}};
  options.on_line = [&](const std::string& line, bool) { output += line; };
  const ExitStatus status = Subprocess(options).wait();
  EXPECT_EQ(status.code, 5);
  EXPECT_THAT(output, HasSubstr("srun started 4 tasks without PMIx"));
  EXPECT_THAT(output, HasSubstr("srun --mpi=pmix"));
}

TEST(MpiCommunicator, TasksThatMpiDoesNotSeeAreAnError) {
  SubprocessOptions options;
  std::string output;
  options.arguments = {PODIUM_MPI_WORKER, "communicator"};
  options.set_env = {{"OMPI_COMM_WORLD_SIZE", "4"}};
  options.on_line = [&](const std::string& line, bool) { output += line; };
  const ExitStatus status = Subprocess(options).wait();
  EXPECT_EQ(status.code, 5) << output;
  EXPECT_THAT(output, HasSubstr("the launcher started 4 tasks, but MPI sees 1"));
}

}  // namespace
}  // namespace podium
