// Proves exit codes, lines, environment, signals to whole groups, and that nothing is left running.
#include "base/process/subprocess.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>

#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/text.h"
#include "tests/base/test_support.h"

namespace podium {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

// The lines of a shell script, with a thread-safe view of those that have come.
class Shell {
 public:
  explicit Shell(const std::string& script, SubprocessOptions options = {}) {
    options.arguments = {"sh", "-c", script};
    options.on_line = [this](const std::string& line, bool is_stderr) {
      const std::lock_guard lock(mutex_);
      (is_stderr ? err_ : out_).push_back(line);
    };
    process_ = std::make_unique<Subprocess>(std::move(options));
  }
  Subprocess& process() { return *process_; }
  void destroy() { process_.reset(); }
  std::vector<std::string> out() {
    const std::lock_guard lock(mutex_);
    return out_;
  }
  std::vector<std::string> err() {
    const std::lock_guard lock(mutex_);
    return err_;
  }
  // The first line of stdout, waited for.
  std::string first_line() {
    for (int i = 0; i < 1000 && out().empty(); ++i) std::this_thread::sleep_for(10ms);
    return out().empty() ? "" : out()[0];
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> out_, err_;
  std::unique_ptr<Subprocess> process_;
};

bool is_alive(pid_t pid) {
  // A zombie that waits for its reaper is dead enough.
  const std::string status = slurp("/proc/" + std::to_string(pid) + "/stat");
  return !status.empty() && status.find(") Z") == std::string::npos;
}

bool dies_soon(pid_t pid) {
  for (int i = 0; i < 500 && is_alive(pid); ++i) std::this_thread::sleep_for(10ms);
  return !is_alive(pid);
}

TEST(Subprocess, LinesOfBothStreamsAndTheExitCode) {
  Shell shell("echo one; echo oops >&2; printf 'two\\n\\nlast'; exit 7");
  const ExitStatus status = shell.process().wait();
  EXPECT_EQ(status.code, 7);
  EXPECT_EQ(status.signal, 0);
  EXPECT_THAT(shell.out(), ElementsAre("one", "two", "", "last"));
  EXPECT_THAT(shell.err(), ElementsAre("oops"));
}

TEST(Subprocess, LongOutputArrivesWhole) {
  Shell shell("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done");
  EXPECT_EQ(shell.process().wait().code, 0);
  ASSERT_EQ(shell.out().size(), 20000u);
  EXPECT_EQ(shell.out().back(), "line 19999");
}

TEST(Subprocess, EnvironmentAndDirectory) {
  const TempFolder folder;
  SubprocessOptions options;
  options.set_env = {{"PODIUM_A", "x y"}, {"HOME", "/nowhere"}};
  options.working_directory = folder.path().string();
  Shell shell("echo \"$PODIUM_A|$HOME\"; pwd; test -n \"$PATH\" && echo path", options);
  EXPECT_EQ(shell.process().wait().code, 0);
  EXPECT_THAT(shell.out(), ElementsAre("x y|/nowhere",
                                       std::filesystem::canonical(folder.path()).string(), "path"));
}

TEST(Subprocess, WithoutLinesTheOutputIsInherited) {
  testing::internal::CaptureStdout();
  SubprocessOptions options;
  options.arguments = {"echo", "inherited"};
  EXPECT_EQ(Subprocess(options).wait().code, 0);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "inherited\n");
}

TEST(Subprocess, MissingProgramsAndDirectories) {
  SubprocessOptions options;
  options.arguments = {"podium-no-such-program"};
  EXPECT_EQ(message_of<IoError>([&] { Subprocess process(options); }),
            "podium-no-such-program: not found; check the path and PATH");
  options.arguments = {"sh"};
  options.working_directory = "/missing/dir";
  EXPECT_EQ(message_of<IoError>([&] { Subprocess process(options); }),
            "cannot start sh: /missing/dir is not a directory; check the path");
  options.working_directory = "";
  options.arguments = {"/etc/passwd"};
  EXPECT_EQ(message_of<IoError>([&] { Subprocess process(options); }),
            "cannot start /etc/passwd: Permission denied");
}

TEST(Subprocess, WaitForGivesUpAndTheSignalIsReported) {
  Shell shell("echo ready; exec sleep 60");
  EXPECT_EQ(shell.first_line(), "ready");
  EXPECT_EQ(shell.process().wait_for(20ms), std::nullopt);
  shell.process().send_signal(SIGTERM);
  const auto status = shell.process().wait_for(10s);
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->signal, SIGTERM);
  EXPECT_EQ(status->code, 128 + SIGTERM);
  shell.process().send_signal(SIGTERM);
  EXPECT_EQ(shell.process().wait().code, 128 + SIGTERM);
}

TEST(Subprocess, SignalReachesGrandchildren) {
  Shell shell("sleep 60 & echo $!; wait");
  const auto grandchild = parse_int(shell.first_line());
  ASSERT_TRUE(grandchild.has_value());
  ASSERT_TRUE(is_alive(static_cast<pid_t>(*grandchild)));
  shell.process().send_signal(SIGTERM);
  shell.process().wait();
  EXPECT_TRUE(dies_soon(static_cast<pid_t>(*grandchild)));
}

TEST(Subprocess, DestructorKillsTheGroupAndLeavesNoZombie) {
  Shell shell("trap '' TERM; sleep 60 & echo $!; wait");
  const auto grandchild = parse_int(shell.first_line());
  ASSERT_TRUE(grandchild.has_value());
  const pid_t pid = shell.process().pid();
  shell.destroy();
  EXPECT_TRUE(dies_soon(static_cast<pid_t>(*grandchild)));
  EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), -1) << "the child was not reaped";
}

TEST(Subprocess, GrandchildThatKeepsThePipeDoesNotBlockWait) {
  Shell shell("setsid sleep 60 & echo $!; exit 3");
  const auto grandchild = parse_int(shell.first_line());
  ASSERT_TRUE(grandchild.has_value());
  const auto status = shell.process().wait_for(20s);
  ::kill(static_cast<pid_t>(*grandchild), SIGKILL);
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->code, 3);
}

TEST(Subprocess, BlockedAndIgnoredSignalsAreNotInherited) {
  const auto old = ::signal(SIGUSR1, SIG_IGN);
  Shell shell("kill -USR1 $$; echo survived");
  EXPECT_EQ(shell.process().wait().signal, SIGUSR1);
  ::signal(SIGUSR1, old);
  EXPECT_TRUE(shell.out().empty());
}

TEST(Subprocess, SelfExecutableIsThisTest) {
  EXPECT_THAT(self_executable(), HasSubstr("test_base"));
}

}  // namespace
}  // namespace podium
