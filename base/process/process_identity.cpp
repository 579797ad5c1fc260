#include "base/process/process_identity.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/text.h"

namespace podium {
namespace {

constexpr auto kWatchInterval = std::chrono::milliseconds(500);

std::string text_of(const std::string& file) {
  std::ifstream stream(file);
  return trim(
      std::string(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()));
}

// Ticks since boot, field 22 of /proc/PID/stat; the name in field 2 may hold spaces and brackets.
// "" for a dead process or a zombie.
std::string start_time(int pid) {
  const std::string text = text_of(fmt::format("/proc/{}/stat", pid));
  const size_t bracket = text.rfind(')');
  if (bracket == std::string::npos) return "";
  const std::vector<std::string> fields = split(trim(text.substr(bracket + 1)), ' ');
  if (fields.size() < 20 || fields[0] == "Z" || fields[0] == "X") return "";
  return fields[19];
}

// Host, boot and PID namespace: within one of these a PID means one process.
std::string machine() {
  char host[256] = "";
  ::gethostname(host, sizeof(host) - 1);
  std::error_code ignored;
  const auto pid_namespace = std::filesystem::read_symlink("/proc/self/ns/pid", ignored);
  return fmt::format("{}|{}|{}", host, text_of("/proc/sys/kernel/random/boot_id"),
                     pid_namespace.string());
}

}  // namespace

std::string identity_of_process(int pid) {
  const std::string start = start_time(pid);
  return start.empty() ? "" : fmt::format("{}|{}|{}", machine(), pid, start);
}

std::string this_process() { return identity_of_process(::getpid()); }

bool is_known_dead(const std::string& identity) {
  const std::vector<std::string> parts = split(identity, '|');
  if (parts.size() != 5) return false;
  if (fmt::format("{}|{}|{}", parts[0], parts[1], parts[2]) != machine()) return false;
  const auto pid = parse_int(parts[3]);
  return pid && start_time(static_cast<int>(*pid)) != parts[4];
}

void end_with_parent() {
  const char* parent = std::getenv(kParentVariable);
  if (parent == nullptr || *parent == '\0') return;
  std::thread([identity = std::string(parent)] {
    // This thread must not take the signals that others wait for.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    while (!is_known_dead(identity)) std::this_thread::sleep_for(kWatchInterval);
    log_warning("the process that started this one has ended: ending too");
    ::kill(::getpid(), SIGTERM);
  }).detach();
}

}  // namespace podium
