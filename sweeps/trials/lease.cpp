// Taking over a stale lease without locks (network file systems keep locks badly): only one process
// can create the file takeover-TOKEN (O_EXCL), and only that one replaces lease.json by a rename.
#include "sweeps/trials/lease.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/process/process_identity.h"

namespace podium::sweeps {
namespace fs = std::filesystem;
namespace {

constexpr const char* kLeaseFile = "lease.json";

// Unique on all machines: process, count and time.
std::string make_token() {
  static std::atomic<int> count{0};
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  return xxh3_128_hex(fmt::format("{}|{}|{}", this_process(), count++, now)).substr(0, 16);
}

// Creates a file that must not exist. False when it does.
bool create_exclusively(const fs::path& file, const std::string& text) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0 && errno == EEXIST) return false;
  if (fd < 0) {
    throw IoError(fmt::format("cannot write {}: {}; check the path and its permissions",
                              file.string(), std::strerror(errno)));
  }
  const ssize_t written = ::write(fd, text.data(), text.size());
  const int error_number = errno;
  ::close(fd);
  if (written != static_cast<ssize_t>(text.size())) {
    ::unlink(file.c_str());
    throw IoError(fmt::format("cannot write {}: {}; free some space or choose another --output",
                              file.string(), std::strerror(error_number)));
  }
  return true;
}

// The file system's clock may differ from ours: age is the difference of two of its own times.
std::optional<std::chrono::milliseconds> age_of(const fs::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return std::nullopt;
  const fs::path probe = file.parent_path() / fmt::format(".clock-{}", make_token());
  create_exclusively(probe, "");
  struct stat now {};
  const bool has_now = ::stat(probe.c_str(), &now) == 0;
  ::unlink(probe.c_str());
  if (!has_now) return std::nullopt;
  const auto milliseconds = [](const timespec& time) {
    return std::chrono::milliseconds(time.tv_sec * 1000 + time.tv_nsec / 1'000'000);
  };
  return milliseconds(now.st_mtim) - milliseconds(status.st_mtim);
}

std::string lease_text(const std::string& token) {
  return nlohmann::json{{"token", token}, {"process", this_process()}}.dump() + "\n";
}

// True for the one process that may replace the lease with `stale_token`. A winner that died before
// it did so leaves its file behind: it loses its right after `timeout`.
bool win_takeover(const fs::path& directory, const std::string& stale_token,
                  std::chrono::milliseconds timeout) {
  const fs::path file = directory / fmt::format("takeover-{}", stale_token);
  if (create_exclusively(file, this_process())) return true;
  const auto age = age_of(file);
  if (age && *age > timeout) ::unlink(file.c_str());  // the next try may win it
  return false;
}

}  // namespace

std::optional<LeaseHolder> lease_holder(const fs::path& directory,
                                        std::chrono::milliseconds timeout) {
  const fs::path file = directory / kLeaseFile;
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return std::nullopt;
  LeaseHolder holder;
  try {
    const auto json = nlohmann::json::parse(read_file(file));
    holder.token = json.at("token").get<std::string>();
    holder.process = json.at("process").get<std::string>();
  } catch (const IoError&) {
    return std::nullopt;  // given back meanwhile
  } catch (const nlohmann::json::exception&) {
    holder.token =
        "unreadable";  // its writer died or is writing at this moment: only the age counts
  }
  const auto age = age_of(file);
  if (!age) return std::nullopt;
  holder.is_stale = *age > timeout || is_known_dead(holder.process);
  return holder;
}

std::unique_ptr<Lease> Lease::try_take(const fs::path& directory, std::chrono::milliseconds timeout,
                                       std::stop_source lost) {
  make_directories(directory);
  const fs::path file = directory / kLeaseFile;
  const std::string token = make_token();
  const auto holder = lease_holder(directory, timeout);
  if (holder && !holder->is_stale) return nullptr;
  if (holder) {
    if (!win_takeover(directory, holder->token, timeout)) return nullptr;
    const fs::path takeover = directory / fmt::format("takeover-{}", holder->token);
    // A winner before us has removed its file already, and holds the lease: look again.
    const auto now = lease_holder(directory, timeout);
    const bool is_still_stale = now && now->is_stale && now->token == holder->token;
    if (is_still_stale) write_file_atomic(file, lease_text(token));
    ::unlink(takeover.c_str());
    if (!is_still_stale) return nullptr;
    log_warning("{}: taken over from {}, which has ended", directory.string(), holder->process);
  } else if (!create_exclusively(file, lease_text(token))) {
    return nullptr;
  }
  return std::unique_ptr<Lease>(new Lease(directory, token, timeout, std::move(lost)));
}

Lease::Lease(fs::path directory, std::string token, std::chrono::milliseconds timeout,
             std::stop_source lost)
    : file_(directory / kLeaseFile),
      token_(std::move(token)),
      timeout_(timeout),
      lost_(std::move(lost)),
      heart_([this](std::stop_token stop) { beat(stop); }) {}

Lease::~Lease() {
  heart_.request_stop();
  heart_.join();
  if (is_ours()) ::unlink(file_.c_str());
}

bool Lease::is_ours() const {
  try {
    return nlohmann::json::parse(read_file(file_)).at("token") == token_;
  } catch (const std::exception&) {
    return false;
  }
}

void Lease::beat(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, stop, timeout_ / 4, [] { return false; }) &&
         !stop.stop_requested()) {
    if (!is_ours()) {
      lost_.request_stop();
      return;
    }
    ::utimensat(AT_FDCWD, file_.c_str(), nullptr, 0);
  }
}

}  // namespace podium::sweeps
