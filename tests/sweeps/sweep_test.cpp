// The ledger and the scheduler, with a runner that trains nothing.
#include "sweeps/sweep.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/process/process_identity.h"
#include "sweeps/trials/lease.h"
#include "tests/sweeps/sweep_fixture.h"

namespace podium::sweeps {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using namespace std::chrono_literals;

class SweepTest : public SweepFixture {
 protected:
  Trial first_trial() {
    return expand_sweep_plan(load_sweep_plan(root_ / "plan.yaml", {}), root_ / "out").front();
  }
  void add_test_data() {
    write_plan("test_data: test\naxes:\n  preprocessing: {raw: [], other: [seed=7]}\n");
  }
};

TEST_F(SweepTest, FinishedTrialsAreNeverRunTwice) {
  const SweepResult first = run_sweep(options());
  EXPECT_EQ(first.num_done, 4);
  EXPECT_EQ(first.num_run, 4);
  EXPECT_THAT(calls_, ElementsAre("train:raw/fold0", "train:raw/fold1", "train:other/fold0",
                                  "train:other/fold1"));
  calls_.clear();
  const SweepResult second = run_sweep(options());
  EXPECT_THAT(calls_, ElementsAre());
  EXPECT_EQ(second.num_done, 4);
  EXPECT_EQ(second.num_run, 0);
}

TEST_F(SweepTest, CommandNamesFoldGroupAndOverrides) {
  run_sweep(options());
  EXPECT_THAT(
      steps_[3].arguments,
      AllOf(Contains("launch"), Contains("--n=1"), Contains("--max_restarts=3"),
            Contains("--fold=1"), Contains("--trial_name=other/fold1"),
            Contains("--model_group=other"), Contains("--set=seed=7"), Contains("--resume=auto")));
}

TEST_F(SweepTest, SummaryIsSortedWithMeanAndSampleDeviation) {
  const SweepResult result = run_sweep(options());
  const auto json = nlohmann::json::parse(read_file(root_ / "out" / "summary.json"));
  EXPECT_EQ(json["metric"], "val_map");
  EXPECT_EQ(json["groups"][0]["group"], "other");
  // (0.5, 0.625): mean 0.5625; deviations of 1/16 each, so sqrt(2 / 256) with one degree of
  // freedom.
  EXPECT_NEAR(json["groups"][0]["mean"].get<double>(), 0.5625, 1e-9);
  EXPECT_NEAR(json["groups"][0]["std"].get<double>(), 0.0883883476, 1e-9);
  EXPECT_NEAR(json["groups"][1]["mean"].get<double>(), 0.3125, 1e-9);
  EXPECT_THAT(summary_text(result.summary), HasSubstr("0.56250"));
}

TEST_F(SweepTest, FailingTrialDoesNotStopTheOthers) {
  failures_ = {{"raw/fold1", 3}, {"other/fold0", 6}};
  const SweepResult result = run_sweep(options());
  EXPECT_EQ(result.num_done, 2);
  EXPECT_EQ(result.num_failed, 2);
  EXPECT_EQ(result.first_failure_code, 3);
  EXPECT_THAT(summary_text(result.summary),
              AllOf(HasSubstr("failed: raw/fold1 (train, exit code 3): made to fail"),
                    HasSubstr("failed: other/fold0")));
  // The next sweep tries them again, unless it is told not to.
  calls_.clear();
  failures_.clear();
  SweepOptions keep = options();
  keep.retry_failed = false;
  EXPECT_EQ(run_sweep(keep).num_failed, 2);
  EXPECT_THAT(calls_, ElementsAre());
  EXPECT_EQ(run_sweep(options()).num_done, 4);
  EXPECT_THAT(calls_, ElementsAre("train:raw/fold1", "train:other/fold0"));
}

TEST_F(SweepTest, BadOverrideFailsItsTrialOnly) {
  write_plan("axes:\n  a: {good: [], bad: [no.such.key=1]}\n");
  const SweepResult result = run_sweep(options());
  EXPECT_EQ(result.num_done, 2);
  EXPECT_EQ(result.num_failed, 2);
  EXPECT_EQ(result.first_failure_code, 2);
  EXPECT_THAT(summary_text(result.summary), HasSubstr("no.such.key"));
  EXPECT_THAT(calls_, ElementsAre("train:good/fold0", "train:good/fold1"));
}

TEST_F(SweepTest, AnotherTestSetRunsThePredictionOnly) {
  add_test_data();
  run_sweep(options());
  EXPECT_THAT(calls_, SizeIs(8));
  EXPECT_THAT(calls_[1], HasSubstr("predict:"));
  calls_.clear();
  make_data("test", "other test data");
  run_sweep(options());
  EXPECT_THAT(calls_, SizeIs(4));
  for (const std::string& call : calls_) EXPECT_THAT(call, HasSubstr("predict:"));
  calls_.clear();
  run_sweep(options());
  EXPECT_THAT(calls_, ElementsAre());
}

TEST_F(SweepTest, DryRunShowsStatesAndRunsNothing) {
  failures_ = {{"raw/fold1", 4}};
  EXPECT_THAT(describe_sweep(options()), AllOf(HasSubstr("raw/fold0"), HasSubstr("pending"),
                                               HasSubstr("seed=7"), HasSubstr("4 trials")));
  EXPECT_FALSE(std::filesystem::exists(root_ / "out"));
  run_sweep(options());
  EXPECT_THAT(describe_sweep(options()), AllOf(HasSubstr("done"), HasSubstr("failed")));
}

TEST_F(SweepTest, TwoSweepsShareTheTrials) {
  // Each trial takes a moment, so that both sweeps get some; a trial that ran twice would be called
  // twice.
  SweepOptions shared = options();
  shared.runner = [this](const TrialStep& trial_step, std::stop_token) {
    std::this_thread::sleep_for(30ms);
    return record(trial_step);
  };
  std::thread other([&] { run_sweep(shared); });
  const SweepResult result = run_sweep(shared);
  other.join();
  EXPECT_EQ(result.num_done, 4);
  EXPECT_THAT(calls_, SizeIs(4));
}

TEST_F(SweepTest, SlotsRunTrialsAtTheSameTime) {
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  SweepOptions two = options();
  two.num_slots = 2;
  two.runner = [&](const TrialStep& trial_step, std::stop_token) {
    most = std::max<int>(most, ++running);
    std::this_thread::sleep_for(50ms);
    --running;
    return record(trial_step);
  };
  EXPECT_EQ(run_sweep(two).num_done, 4);
  EXPECT_EQ(most, 2);
}

TEST_F(SweepTest, SignalStopsTheTrialsAndIsNoFailure) {
  SweepOptions interrupted = options();
  interrupted.runner = [&](const TrialStep& trial_step, std::stop_token stop) -> TrialStepResult {
    record(trial_step);
    ::kill(::getpid(), SIGTERM);
    while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
    return {75, "interrupted"};
  };
  const SweepResult result = run_sweep(interrupted);
  EXPECT_TRUE(result.is_interrupted);
  EXPECT_EQ(result.num_failed, 0);
  EXPECT_THAT(calls_, ElementsAre("train:raw/fold0"));
  EXPECT_THAT(describe_sweep(options()), Not(HasSubstr("failed")));
}

TEST_F(SweepTest, LeaseOfADeadProcessIsTakenOverAtOnce) {
  const Trial trial = first_trial();
  // A child takes the lease and dies without giving it back.
  const pid_t child = ::fork();
  if (child == 0) {
    auto lease = Lease::try_take(trial.directory, 60s, std::stop_source());
    ::_exit(lease ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  ASSERT_TRUE(std::filesystem::exists(trial.directory / "lease.json"));
  EXPECT_EQ(run_sweep(options()).num_done, 4);
  EXPECT_THAT(calls_, Contains("train:raw/fold0"));
}

TEST_F(SweepTest, LeaseOfALiveProcessIsRespected) {
  const Trial trial = first_trial();
  const auto lease = Lease::try_take(trial.directory, 60s, std::stop_source());
  ASSERT_NE(lease, nullptr);
  EXPECT_EQ(Lease::try_take(trial.directory, 60s, std::stop_source()), nullptr);
  EXPECT_EQ(state_of(trial, "", 60s), TrialState::kRunning);
}

TEST_F(SweepTest, LeaseWithoutHeartbeatIsTakenOverAndItsHolderIsTold) {
  const Trial trial = first_trial();
  make_directories(trial.directory);
  // Of a process on another machine nothing is known but the age of its heartbeat.
  write_file_atomic(trial.directory / "lease.json",
                    R"({"token": "elsewhere", "process": "other-host|boot|pid:[1]|1|1"})");
  EXPECT_EQ(Lease::try_take(trial.directory, 60s, std::stop_source()), nullptr);
  std::this_thread::sleep_for(60ms);
  std::stop_source lost;
  const auto lease = Lease::try_take(trial.directory, 50ms, lost);
  ASSERT_NE(lease, nullptr);
  EXPECT_TRUE(lease->is_ours());
  // Someone else takes it in turn.
  write_file_atomic(trial.directory / "lease.json", R"({"token": "third", "process": ""})");
  for (int i = 0; i < 100 && !lost.stop_requested(); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(lost.stop_requested());
  EXPECT_FALSE(lease->is_ours());
}

TEST_F(SweepTest, UnknownExecutorListsTheOnesThereAre) {
  SweepOptions wrong = options();
  wrong.executor = "slurm-job";
  try {
    run_sweep(wrong);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("slurm-job"), HasSubstr("local, mpi")));
  }
}

TEST(ExecutorTest, HostsAreCutIntoSlots) {
  const auto hosts_of = [](const std::vector<Slot>& slots) {
    std::vector<std::string> result;
    for (const Slot& slot : slots) result.push_back(slot.hosts);
    return result;
  };
  EXPECT_THAT(hosts_of(host_slots("a:4,b:4", 2, 0)), ElementsAre("a:2", "a:2", "b:2", "b:2"));
  EXPECT_THAT(hosts_of(host_slots("a:3,b:3", 2, 0)), ElementsAre("a:2", "b:2", "a:1,b:1"));
  EXPECT_THAT(hosts_of(host_slots("a:1,b:1,c:1", 2, 0)), ElementsAre("a:1,b:1"));
  EXPECT_THAT(hosts_of(host_slots("a:4,b:4", 2, 3)), SizeIs(3));
  EXPECT_THROW(host_slots("a:1", 2, 0), UsageError);
  EXPECT_THROW(host_slots("a:x", 1, 0), UsageError);
}

TEST(ProcessIdentityTest, KnowsTheDeadFromTheLiving) {
  EXPECT_FALSE(is_known_dead(this_process()));
  EXPECT_FALSE(is_known_dead("other-host|boot|pid:[1]|1|1"));
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const std::string identity = identity_of_process(child);
  EXPECT_FALSE(is_known_dead(identity));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(is_known_dead(identity));
}

}  // namespace
}  // namespace podium::sweeps
