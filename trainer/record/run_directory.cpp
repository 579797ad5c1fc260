// The run directory's lock and folders.
#include "trainer/record/run_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

namespace podium::trainer {
namespace fs = std::filesystem;

void RunDirectory::make() const {
  make_directories(checkpoints());
  make_directories(predictions());
  make_directories(logs());
  // AtomicDirectory writes into hidden siblings.
  for (const auto& folder : {checkpoints(), predictions()}) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().filename().string().starts_with(".")) fs::remove_all(entry.path());
    }
  }
}

RunLock::RunLock(const RunDirectory& directory) {
  const std::string file = directory.lock().string();
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) {
    throw IoError(fmt::format("cannot write {}: {}; check --run_dir", file, std::strerror(errno)));
  }
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    std::array<char, 256> text{};
    const ssize_t size = ::pread(descriptor_, text.data(), text.size(), 0);
    ::close(descriptor_);
    if (reason != EWOULDBLOCK) {
      throw IoError(fmt::format("cannot lock {}: {}; the file system must support flock", file,
                                std::strerror(reason)));
    }
    const std::string holder =
        trim(std::string_view(text.data(), static_cast<size_t>(size > 0 ? size : 0)));
    throw UsageError(
        fmt::format("{} is in use by {}; wait for that run, stop it, or choose another --run_dir",
                    directory.root.string(), holder.empty() ? "another run" : holder));
  }
  const std::string holder =
      fmt::format("host {}, pid {}, since {}\n", host_name(), ::getpid(), utc_now());
  if (::ftruncate(descriptor_, 0) != 0 || ::pwrite(descriptor_, holder.data(), holder.size(), 0) !=
                                              static_cast<ssize_t>(holder.size())) {
    const int reason = errno;
    ::close(descriptor_);
    throw IoError(fmt::format("cannot write {}: {}; free space or check the disk", file,
                              std::strerror(reason)));
  }
}

RunLock::~RunLock() { ::close(descriptor_); }

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

}  // namespace podium::trainer
