// launch over several hosts: by srun and by mpirun in a Slurm allocation, and by mpirun --hosts
// without Slurm. The hosts are namespaces of this machine: cluster.sh.
#include <gmock/gmock.h>
#include <signal.h>

#include <optional>

#include "tests/e2e/podium_fixture.h"

namespace podium {
namespace {

using testing::AllOf;
using testing::HasSubstr;

bool is_installed(const std::string& program) {
  return std::system(("command -v " + program + " >/dev/null 2>&1").c_str()) == 0;
}

class Cluster : public PodiumFixture {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "namespaces of hosts need root";
    if (!is_installed("ip")) GTEST_SKIP() << "ip: not found; install iproute2";
    // A container or chroot may forbid them even to root.
    if (std::system("unshare --net --uts --ipc --mount --pid --fork --mount-proc true") != 0) {
      GTEST_SKIP() << "namespaces cannot be made here";
    }
    PodiumFixture::SetUp();
    // A short path: Slurm makes sockets in it, whose names may have 107 characters.
    cluster_.emplace("/tmp", "podium");
    ASSERT_NO_FATAL_FAILURE(make_data());
  }
  void TearDown() override {
    if (cluster_) call("stop", {});
    cluster_.reset();
    PodiumFixture::TearDown();
  }
  // Hosts n1 and n2 and the login host ctl.
  void start_hosts() { ASSERT_EQ(call("start", {"2"}).code, 0) << output_; }
  void start_slurm() {
    for (const char* program : {"slurmctld", "slurmd", "munged", "srun"}) {
      if (!is_installed(program)) {
        GTEST_SKIP() << program << ": not found; install "
                     << "scripts/packages-slurm.txt";
      }
    }
    ASSERT_EQ(call("start-slurm", {"2"}).code, 0) << output_;
  }
  // The recipe of make_data for four workers.
  void write_recipe(int epochs) {
    std::string text = recipe("color_histogram", epochs);
    text.replace(text.find("workers: 2"), 10, "workers: 4");
    write_file_atomic(path("recipe.yaml"), text);
  }
  // Four workers, two on each node of a Slurm allocation.
  std::vector<std::string> in_allocation(const std::string& starter, const std::string& run_dir) {
    std::vector<std::string> words = {"bash",
                                      script(),
                                      "enter",
                                      cluster(),
                                      "ctl",
                                      "env",
                                      "SLURM_CONF=" + cluster() + "/etc/slurm.conf",
                                      "salloc",
                                      "-N2",
                                      "-n4",
                                      "--ntasks-per-node=2",
                                      PODIUM_BINARY};
    return with_launch(std::move(words), {"--starter=" + starter}, run_dir);
  }
  // Four workers by mpirun over hosts; mpirun runs on ctl but sees the process numbers outside.
  std::vector<std::string> over_hosts(const std::string& run_dir) {
    const std::string pid = trim(read_file(cluster() + "/run/ctl.ns"));
    std::vector<std::string> words = {"nsenter",
                                      "-t",
                                      pid,
                                      "--net",
                                      "--uts",
                                      "--",
                                      "env",
                                      "OMPI_MCA_plm=rsh",
                                      "OMPI_MCA_plm_rsh_agent=" + cluster() + "/agent",
                                      "OMPI_MCA_btl_tcp_if_include=10.77.0.0/24",
                                      "OMPI_MCA_oob_tcp_if_include=10.77.0.0/24",
                                      PODIUM_BINARY};
    return with_launch(std::move(words), {"--hosts=n1:2,n2:2", "--max_restarts=0"}, run_dir);
  }
  std::vector<std::string> with_launch(std::vector<std::string> words,
                                       const std::vector<std::string>& flags,
                                       const std::string& run_dir) const {
    const std::vector<std::string> launched = launch(4, run_dir);
    words.insert(words.end(), launched.begin(), launched.begin() + 3);
    words.insert(words.end(), flags.begin(), flags.end());
    words.insert(words.end(), launched.begin() + 3, launched.end());
    return words;
  }
  // Runs a command that is not podium; its output is in output_.
  ExitStatus call(const std::string& verb, const std::vector<std::string>& words) {
    SubprocessOptions options;
    options.arguments = {"bash", script(), verb, cluster()};
    options.arguments.insert(options.arguments.end(), words.begin(), words.end());
    options.on_line = [this](const std::string& line, bool) { output_ += line + "\n"; };
    return Subprocess(std::move(options)).wait();
  }
  // PIDs, on the host, of the workers there.
  std::vector<std::string> workers_on(const std::string& host) {
    output_.clear();
    call("enter", {host, "pgrep", "-f", "^" PODIUM_BINARY " train"});
    std::vector<std::string> pids = split(output_, '\n');
    std::erase(pids, "");
    return pids;
  }
  std::string digest(const std::string& run_dir) const {
    return json(run_dir + "/result.json")["weights_digest"];
  }
  static std::string script() { return PODIUM_SOURCE_DIR "/tests/slurm/cluster.sh"; }
  std::string cluster() const { return cluster_->path().string(); }

  std::optional<TemporaryDirectory> cluster_;
  std::string output_;
};

TEST_F(Cluster, SrunAndMpirunInAnAllocationGiveTheWeightsOfOneWorker) {
  ASSERT_NO_FATAL_FAILURE(start_slurm());
  if (IsSkipped()) return;
  write_recipe(3);
  ASSERT_NO_FATAL_FAILURE(succeed(train("one")));
  for (const std::string starter : {"srun", "mpirun"}) {
    const PodiumResult result = ProgramRun(in_allocation(starter, starter)).wait();
    ASSERT_EQ(result.code, 0) << starter << ": " << result.out << result.err;
    EXPECT_EQ(digest(starter), digest("one"));
    EXPECT_EQ(json(starter + "/manifest.json")["starts"][0]["world_size"], 4);
  }
}

TEST_F(Cluster, WorkerKilledOnAnotherNodeIsNamedAndSrunGoesOn) {
  ASSERT_NO_FATAL_FAILURE(start_slurm());
  if (IsSkipped()) return;
  write_recipe(60);
  ASSERT_NO_FATAL_FAILURE(succeed(train("one")));
  ProgramRun launched(in_allocation("srun", "killed"));
  ASSERT_TRUE(wait_for_steps(launched, "killed", 5)) << launched.so_far().err;
  const std::vector<std::string> pids = workers_on("n2");
  ASSERT_EQ(pids.size(), 2u) << output_;
  ASSERT_EQ(call("enter", {"n2", "kill", "-9", pids[0]}).code, 0) << output_;
  const PodiumResult result = launched.wait();
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("of 4 failed first (exit code 5): killed by signal 9"),
                                HasSubstr("on n2"), HasSubstr("restart 1 of 3")));
  EXPECT_EQ(digest("killed"), digest("one"));
}

TEST_F(Cluster, CancelledJobWritesACheckpointThatOneWorkerTakesOn) {
  ASSERT_NO_FATAL_FAILURE(start_slurm());
  if (IsSkipped()) return;
  write_recipe(60);
  ASSERT_NO_FATAL_FAILURE(succeed(train("one")));
  ProgramRun launched(in_allocation("srun", "run"));
  ASSERT_TRUE(wait_for_steps(launched, "run", 5)) << launched.so_far().err;
  ASSERT_EQ(call("enter", {"ctl", "pkill", "-TERM", "-f", "^" PODIUM_BINARY " launch"}).code, 0);
  const PodiumResult result = launched.wait();
  EXPECT_EQ(result.code, 75) << result.err;
  EXPECT_FALSE(std::filesystem::exists(root_ / "run" / "DONE"));
  EXPECT_FALSE(std::filesystem::is_empty(root_ / "run" / "checkpoints"));
  ASSERT_NO_FATAL_FAILURE(succeed(train("run")));
  EXPECT_EQ(digest("run"), digest("one"));
}

TEST_F(Cluster, HostsWithoutASchedulerGiveTheWeightsOfOneWorker) {
  ASSERT_NO_FATAL_FAILURE(start_hosts());
  write_recipe(3);
  ASSERT_NO_FATAL_FAILURE(succeed(train("one")));
  const PodiumResult result = ProgramRun(over_hosts("hosts")).wait();
  ASSERT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_EQ(digest("hosts"), digest("one"));
}

TEST_F(Cluster, LostHostEndsTheRunWithCodeFive) {
  ASSERT_NO_FATAL_FAILURE(start_hosts());
  write_recipe(100'000);
  ProgramRun launched(over_hosts("run"));
  ASSERT_TRUE(wait_for_steps(launched, "run", 5)) << launched.so_far().err;
  ASSERT_EQ(call("power-off", {"n2"}).code, 0) << output_;
  const PodiumResult result = launched.wait();
  EXPECT_EQ(result.code, 5) << result.err;
  EXPECT_THAT(result.err, HasSubstr("lost communication"));
  EXPECT_TRUE(workers_on("n1").empty());
}

}  // namespace
}  // namespace podium
