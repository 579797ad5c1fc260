// A weight that differs on one of three real ranks stops the run, by rank and tensor. Read next:
// mpi_state_check_worker.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <string>

#include "base/process/subprocess.h"

namespace podium {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Outcome {
  int code = 0;
  std::string output;
};

Outcome run_ranks(const std::string& mode) {
  std::mutex mutex;
  Outcome outcome;
  SubprocessOptions options;
  options.arguments = {PODIUM_MPIRUN,
                       "--oversubscribe",
                       "--allow-run-as-root",
                       "--bind-to",
                       "none",
                       "-n",
                       "3",
                       PODIUM_STATE_CHECK_WORKER,
                       mode};
  options.on_line = [&](const std::string& line, bool) {
    const std::lock_guard lock(mutex);
    outcome.output += line + "\n";
  };
  outcome.code = Subprocess(std::move(options)).wait().code;
  return outcome;
}

TEST(MpiStateCheck, StopsAtTheNextCheckAndNamesRankAndTensor) {
  const Outcome outcome = run_ranks("steps");
  EXPECT_EQ(outcome.code, 5) << outcome.output;  // ExitCode::kDistributed
  EXPECT_THAT(outcome.output, HasSubstr("after step 10 the state of rank 1 (host "));
  EXPECT_THAT(outcome.output, HasSubstr("first in tensor weights/fc.weight ("));
  EXPECT_THAT(outcome.output, HasSubstr("last equal after step 5"));
  EXPECT_THAT(outcome.output, Not(HasSubstr("made")));
}

TEST(MpiStateCheck, ChecksBeforeACheckpointIsWritten) {
  const Outcome outcome = run_ranks("checkpoint");
  EXPECT_EQ(outcome.code, 5) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("after step 8 the state of rank 1 (host "));
}

TEST(MpiStateCheck, ZeroStepsTurnItOff) {
  const Outcome outcome = run_ranks("off");
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("rank 1 made 20 steps"));
}

}  // namespace
}  // namespace podium
