// The parts of the supervisor that decide: how workers are started, whose line is whose, who failed
// first. The messages of mpirun are those of Open MPI 4.1.4, those of srun of Slurm 22.05.8.
#include "launcher/supervise/supervisor.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "launcher/supervise/end_of_workers.h"
#include "launcher/supervise/worker_output.h"

namespace podium::launcher {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const Surroundings kPlain = {.has_mpirun = true, .num_cores = 4};
const Surroundings kSlurmOnly = {.has_srun = true, .is_in_allocation = true, .num_cores = 4};

LaunchOptions workers(int count) {
  LaunchOptions options;
  options.num_workers = count;
  return options;
}

TEST(Starter, IsChosenByWorkersAndSurroundings) {
  EXPECT_EQ(choose_starter(workers(1), kPlain), Starter::kLocal);
  EXPECT_EQ(choose_starter(workers(2), kPlain), Starter::kMpirun);
  EXPECT_EQ(choose_starter(workers(2), kSlurmOnly), Starter::kSrun);
  LaunchOptions options = workers(1);
  options.hosts = "a:1";
  EXPECT_EQ(choose_starter(options, kPlain), Starter::kMpirun);
}

TEST(Starter, MissingMpirunSaysWhatToInstall) {
  try {
    choose_starter(workers(2), Surroundings{});
    FAIL();
  } catch (const IoError& error) {
    EXPECT_THAT(error.what(), HasSubstr("install openmpi-bin"));
  }
  LaunchOptions options = workers(2);
  options.starter = "srun";
  EXPECT_THROW(choose_starter(options, kPlain), UsageError);
  options.starter = "local";
  EXPECT_THROW(choose_starter(options, kPlain), UsageError);
}

TEST(Starter, MpirunIsUnboundTaggedAndKnowsTheHosts) {
  LaunchOptions options = workers(8);
  options.hosts = "a:4,b:4";
  const auto make = [&] {
    return make_start_command(Starter::kMpirun, options, kPlain, {"/bin/podium", "train"},
                              {{"PODIUM_EXIT_DIR", "/x"}});
  };
  const StartCommand command = make();
  EXPECT_THAT(command.arguments,
              ElementsAre("mpirun", "-n", "8", "--bind-to", "none", "--tag-output", "--host",
                          "a:4,b:4", "-x", "PODIUM_EXIT_DIR", "/bin/podium", "train"));
  EXPECT_THAT(command.environment, Contains(testing::Pair("PODIUM_EXIT_DIR", "/x")));
  options.hosts = "a:4";
  EXPECT_THAT(make().arguments, Contains("--oversubscribe"));
  options.hosts = "a:four";
  EXPECT_THROW(make(), UsageError);
}

TEST(Starter, CrowdedCoresYield) {
  const auto environment = [](int count) {
    return make_start_command(Starter::kMpirun, workers(count), kPlain, {"p"}, {}).environment;
  };
  const auto yields = testing::Pair("OMPI_MCA_mpi_yield_when_idle", "1");
  EXPECT_THAT(environment(8), Contains(yields));
  EXPECT_THAT(environment(4), Not(Contains(yields)));
}

TEST(WorkerOutput, TagsOfMpirunAndSrunNameTheRank) {
  const auto mpirun = [](const std::string& line) {
    return parse_tagged_line(Starter::kMpirun, line, false);
  };
  EXPECT_EQ(mpirun("[1,3]<stderr>:hello: [a,b]").rank, 3);
  EXPECT_EQ(mpirun("[1,3]<stderr>:hello: [a,b]").text, "hello: [a,b]");
  EXPECT_TRUE(mpirun("[1,3]<stderr>:x").is_stderr);
  EXPECT_FALSE(mpirun("[1,3]<stdout>:x").is_stderr);
  // A line that mpirun read in two pieces.
  EXPECT_EQ(mpirun("[1,12]<stdout>:first [1,12]<stdout>:second").text, "first second");
  EXPECT_EQ(mpirun("mpirun noticed that ...").rank, -1);
  EXPECT_EQ(mpirun("[warn] a, b >: c").rank, -1);
  const TaggedLine srun = parse_tagged_line(Starter::kSrun, "12: a: b", true);
  EXPECT_EQ(srun.rank, 12);
  EXPECT_EQ(srun.text, "a: b");
  EXPECT_EQ(parse_tagged_line(Starter::kSrun, "srun: error: x", true).rank, -1);
}

TEST(WorkerOutput, PrefixIsAddedOnce) {
  EXPECT_EQ(with_rank_prefix({3, true, "[rank 3] I 08:00:00 step"}), "[rank 3] I 08:00:00 step");
  EXPECT_EQ(with_rank_prefix({3, true, "terminate called"}), "[rank 3] terminate called");
}

TEST(WorkerOutput, LogFilesWaitForTheRunDirectory) {
  const std::filesystem::path root =
      std::filesystem::path(testing::TempDir()) / ("podium-output-" + std::to_string(::getpid()));
  std::filesystem::remove_all(root);
  std::vector<std::string> shown;
  WorkerOutput output(Starter::kMpirun, 2, root / "run" / "logs",
                      [&](const std::string& text, bool) { shown.push_back(text); });
  output.add("[1,1]<stderr>:early", true);
  EXPECT_FALSE(std::filesystem::exists(root));
  make_directories(root / "run");
  output.add("[1,1]<stderr>:late", true);
  output.add("--------", true);
  EXPECT_EQ(read_file(root / "run" / "logs" / "rank-1.log"), "early\nlate\n");
  EXPECT_EQ(read_file(root / "run" / "logs" / "launcher.log"), "--------\n");
  EXPECT_THAT(shown, ElementsAre("[rank 1] early", "[rank 1] late"));
  EXPECT_THAT(output.last_lines(1), ElementsAre("early", "late"));
  std::filesystem::remove_all(root);
}

const std::vector<std::string> kKilled = {
    "--------------------------------------------------------------------------",
    "mpirun noticed that process rank 1 with PID 4711 on node n2 exited on signal 9 (Killed).",
    "--------------------------------------------------------------------------"};
const std::vector<std::string> kEnded = {
    "mpirun detected that one or more processes exited with non-zero status, thus causing",
    "the job to be terminated. The first process to do so was:", "",
    "  Process name: [[31233,1],2]", "  Exit code:    4"};

TEST(EndOfWorkers, ReadsWhatTheStarterSays) {
  const StarterReport killed = parse_starter_report(Starter::kMpirun, kKilled);
  EXPECT_EQ(killed.rank, 1);
  EXPECT_EQ(killed.signal, SIGKILL);
  EXPECT_EQ(killed.host, "n2");
  const StarterReport ended = parse_starter_report(Starter::kMpirun, kEnded);
  EXPECT_EQ(ended.rank, 2);
  EXPECT_EQ(ended.code, 4);
  EXPECT_EQ(parse_starter_report(Starter::kSrun, {"srun: error: n1: task 3: Killed"}).signal,
            SIGKILL);
  EXPECT_EQ(
      parse_starter_report(Starter::kSrun, {"srun: error: n1: task 3: Exited with exit code 3"})
          .code,
      3);
  EXPECT_EQ(parse_starter_report(Starter::kMpirun, {"nothing"}).rank, -1);
}

TEST(EndOfWorkers, OwnErrorOfARankWinsOverTheConsequences) {
  // Rank 0 lost its peer first by the clock, but rank 2's bad sample is the cause.
  const std::vector<ExitRecord> records = {{0, 5, "all_to_all #4: rank 2 not arrived", 1.0},
                                           {2, 3, "shard x: bad sample", 2.0}};
  const EndOfWorkers end = explain_end(Starter::kMpirun, {5, 0}, records, kKilled);
  EXPECT_EQ(end.exit_code, 3);
  EXPECT_EQ(end.rank, 2);
  EXPECT_EQ(end.message, "shard x: bad sample");
  EXPECT_FALSE(end.is_worth_retry);
}

TEST(EndOfWorkers, KilledWorkerIsTheCauseOfLostPeersAndIsTriedAgain) {
  const std::vector<ExitRecord> records = {{0, 5, "rank 1 not arrived", 1.0}};
  const EndOfWorkers end = explain_end(Starter::kMpirun, {137, 0}, records, kKilled);
  EXPECT_EQ(end.exit_code, 5);
  EXPECT_EQ(end.rank, 1);
  EXPECT_EQ(end.signal, SIGKILL);
  EXPECT_THAT(end.message, AllOf(HasSubstr("signal 9"), HasSubstr("n2")));
  EXPECT_TRUE(end.is_worth_retry);
  const EndOfWorkers alone = explain_end(Starter::kLocal, {137, SIGKILL}, {}, {});
  EXPECT_EQ(alone.exit_code, 5);
  EXPECT_TRUE(alone.is_worth_retry);
}

TEST(EndOfWorkers, InterruptionStaysAnInterruption) {
  const std::vector<ExitRecord> records = {{1, 75, "interrupted", 1.0},
                                           {0, 75, "interrupted", 1.1}};
  const EndOfWorkers end = explain_end(Starter::kMpirun, {75, 0}, records, kKilled);
  EXPECT_EQ(end.exit_code, 75);
  EXPECT_FALSE(end.is_worth_retry);
}

TEST(EndOfWorkers, WithoutRecordsTheStarterIsQuoted) {
  const EndOfWorkers refused =
      explain_end(Starter::kMpirun, {1, 0}, {}, {"-----", "There are not enough slots"});
  EXPECT_EQ(refused.exit_code, 5);
  EXPECT_THAT(refused.message, HasSubstr("There are not enough slots"));
  EXPECT_FALSE(refused.is_worth_retry);
  EXPECT_TRUE(explain_end(Starter::kMpirun, {205, 0}, {}, {}).is_worth_retry);
  const EndOfWorkers silent = explain_end(Starter::kMpirun, {4, 0}, {}, kEnded);
  EXPECT_EQ(silent.rank, 2);
  EXPECT_EQ(silent.exit_code, 70);
}

TEST(EndOfWorkers, CodeZeroIsNotBelievedWithoutAWordOfAnyWorker) {
  EXPECT_EQ(explain_end(Starter::kSrun, {0, 0}, {{1, 0, "", 1.0}}, {}).exit_code, 0);
  const EndOfWorkers silent = explain_end(Starter::kSrun, {0, 0}, {}, {});
  EXPECT_EQ(silent.exit_code, 5);
  EXPECT_THAT(silent.message, HasSubstr("see the log of slurmd"));
  EXPECT_TRUE(silent.is_worth_retry);
}

TEST(Supervisor, RestartResumesWhateverTheFirstStartSaid) {
  EXPECT_THAT(restart_command({"train", "--resume=never", "--data=d"}),
              ElementsAre("train", "--data=d", "--resume=auto"));
  EXPECT_THAT(restart_command({"train", "--resume", "runs/x", "--data=d"}),
              ElementsAre("train", "--data=d", "--resume=auto"));
  EXPECT_THAT(restart_command({"predict", "--run=r"}), ElementsAre("predict", "--run=r"));
}

}  // namespace
}  // namespace podium::launcher
