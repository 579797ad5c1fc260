// The only file that includes glog. Lines read "I 08:01:02 message", with "[rank 3] " before it in
// a run of several workers.
#include "base/log.h"

#include <glog/logging.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <mutex>

namespace podium {
namespace {

std::atomic<int> prefix_rank{-1};
std::once_flag start_flag;

// glog refuses to be started twice and writes a warning when it was never started: start it on the
// first use.
void start_glog(const char* program) {
  std::call_once(start_flag, [program] {
    // glog keeps the pointer.
    static const std::string name = program;
    FLAGS_logtostderr = true;
    FLAGS_log_prefix = false;
    FLAGS_colorlogtostderr = false;
    google::InitGoogleLogging(name.c_str());
  });
}

std::string clock_time() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm local{};
  localtime_r(&now, &local);
  return fmt::format("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec);
}

}  // namespace

void init_logging(const char* program, int rank) {
  prefix_rank = rank;
  start_glog(program);
}

void set_log_rank(int rank, int world_size) { prefix_rank = world_size > 1 ? rank : -1; }

void log_line(LogLevel level, std::string_view line) {
  start_glog("podium");
  const int rank = prefix_rank;
  const std::string prefix = rank < 0 ? "" : fmt::format("[rank {}] ", rank);
  const std::string time = clock_time();
  switch (level) {
    case LogLevel::kInfo:
      LOG(INFO) << prefix << "I " << time << ' ' << line;
      break;
    case LogLevel::kWarning:
      LOG(WARNING) << prefix << "W " << time << ' ' << line;
      break;
    case LogLevel::kError:
      LOG(ERROR) << prefix << "E " << time << ' ' << line;
      break;
  }
}

}  // namespace podium
