// POSIX file calls: only they give fsync, O_EXCL and exact error numbers.
#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"

namespace podium {
namespace fs = std::filesystem;
namespace {

// An open file descriptor, closed at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  // Closes early; some network file systems report a failed write only here.
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

fs::path parent_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// "a/b/" and "a/b" name the same directory; only the second has a file name.
fs::path without_trailing_slash(const fs::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

// A sibling's suffix that no other call of this process uses; O_EXCL guards against other machines.
std::string unique_suffix() {
  static std::atomic<uint64_t> counter{0};
  return fmt::format("tmp.{}.{}", ::getpid(), counter++);
}

IoError write_error(const fs::path& file, int error_number, uint64_t written, uint64_t total) {
  std::string advice = "check the path and its permissions";
  if (error_number == ENOSPC || error_number == EDQUOT) {
    std::error_code ignored;
    const auto space = fs::space(parent_of(file), ignored);
    advice = fmt::format("the file system has {} free; free some or choose another path",
                         ignored ? "an unknown amount" : human_bytes(space.available));
  }
  return IoError(fmt::format("cannot write {}: {} ({} of {} bytes written); {}", file.string(),
                             std::strerror(error_number), written, total, advice));
}

void sync_directory(const fs::path& directory) {
  const Descriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some network file systems know no fsync of a directory; the rename is then as safe as they make
  // it.
  if (fd.get() >= 0 && ::fsync(fd.get()) != 0 && errno == EIO) {
    throw IoError(
        fmt::format("cannot sync {}: {}; check the disk", directory.string(), std::strerror(EIO)));
  }
}

void sync_file(const fs::path& file) {
  const Descriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0 || ::fsync(fd.get()) != 0) {
    throw IoError(
        fmt::format("cannot sync {}: {}; check the disk", file.string(), std::strerror(errno)));
  }
}

// Writes all pieces; on failure throws with the number of bytes that were written.
void write_all(int fd, const fs::path& file, std::span<const std::string_view> pieces) {
  uint64_t total = 0, written = 0;
  for (const auto piece : pieces) total += piece.size();
  for (auto piece : pieces) {
    while (!piece.empty()) {
      const ssize_t count = ::write(fd, piece.data(), piece.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw write_error(file, errno, written, total);
      written += static_cast<uint64_t>(count);
      piece.remove_prefix(static_cast<size_t>(count));
    }
  }
}

// Creates a new file beside `file`; returns its descriptor and sets its path.
int create_sibling(const fs::path& file, fs::path& temporary) {
  while (true) {
    temporary = file;
    temporary += "." + unique_suffix();
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) return fd;
    if (errno != EEXIST && errno != EINTR) throw write_error(file, errno, 0, 0);
  }
}

}  // namespace

std::string read_file(const fs::path& file) {
  const auto fail = [&] {
    return IoError(
        fmt::format("cannot read {}: {}; check the path", file.string(), std::strerror(errno)));
  };
  const Descriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) throw fail();
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw fail();
  // One byte more than the size, so that a file that has not grown needs no second round. /proc
  // files say 0.
  std::string bytes(static_cast<size_t>(std::max<off_t>(status.st_size, 0)) + 1, '\0');
  size_t size = 0;
  while (true) {
    if (size == bytes.size()) bytes.resize(2 * bytes.size() + 4096);
    const ssize_t count = ::read(fd.get(), bytes.data() + size, bytes.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw fail();
    if (count == 0) break;
    size += static_cast<size_t>(count);
  }
  bytes.resize(size);
  return bytes;
}

void write_file_atomic(const fs::path& file, std::string_view bytes) {
  write_file_atomic(file, std::span<const std::string_view>(&bytes, 1));
}

void write_file_atomic(const fs::path& file, std::span<const std::string_view> pieces) {
  fs::path temporary;
  Descriptor fd(create_sibling(file, temporary));
  uint64_t total = 0;
  for (const auto piece : pieces) total += piece.size();
  try {
    write_all(fd.get(), file, pieces);
    if (::fsync(fd.get()) != 0 || fd.close() != 0) throw write_error(file, errno, total, total);
    if (::rename(temporary.c_str(), file.c_str()) != 0) {
      throw write_error(file, errno, total, total);
    }
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_directory(parent_of(file));
}

void append_line(const fs::path& file, std::string_view line) {
  std::string text(line);
  text += '\n';
  const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
  Descriptor fd(::open(file.c_str(), flags, 0666));
  if (fd.get() < 0) throw write_error(file, errno, 0, text.size());
  ssize_t count;
  do {
    count = ::write(fd.get(), text.data(), text.size());
  } while (count < 0 && errno == EINTR);
  if (count < 0) throw write_error(file, errno, 0, text.size());
  // A short write of a regular file means that the disk is full.
  if (static_cast<size_t>(count) != text.size()) {
    throw write_error(file, ENOSPC, static_cast<uint64_t>(count), text.size());
  }
  if (fd.close() != 0) throw write_error(file, errno, text.size(), text.size());
}

void make_directories(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  // A path that ends in a slash reports success as "not created"; only the result counts.
  std::error_code ignored;
  if (error || !fs::is_directory(directory, ignored)) {
    throw IoError(fmt::format("cannot make directory {}: {}; check the path and its permissions",
                              directory.string(), error ? error.message() : "Not a directory"));
  }
}

bool is_done(const fs::path& directory) {
  std::error_code ignored;
  return fs::is_regular_file(directory / kDoneFile, ignored);
}

void mark_done(const fs::path& directory) { write_file_atomic(directory / kDoneFile, ""); }

void require_done(const fs::path& directory, const std::string& what_to_do) {
  std::error_code ignored;
  if (!fs::is_directory(directory, ignored)) {
    throw IoError(fmt::format("{} is not a directory; check the path", directory.string()));
  }
  if (!is_done(directory)) {
    throw DataError(
        fmt::format("{} is not finished (no {}); {}", directory.string(), kDoneFile, what_to_do));
  }
}

AtomicDirectory::AtomicDirectory(fs::path target)
    : target_(without_trailing_slash(std::move(target))) {
  std::error_code ignored;
  const auto refuse = [&](std::string_view why) {
    return IoError(
        fmt::format("{} {}; choose another --output, or remove it", target_.string(), why));
  };
  if (fs::exists(target_, ignored)) {
    if (!fs::is_directory(target_, ignored)) throw refuse("exists and is not a directory");
    if (!fs::is_empty(target_, ignored)) throw refuse("exists and is not empty");
  }
  make_directories(parent_of(target_));
  while (true) {
    temporary_ = parent_of(target_) / ("." + target_.filename().string() + "." + unique_suffix());
    if (::mkdir(temporary_.c_str(), 0777) == 0) return;
    if (errno != EEXIST) {
      throw IoError(fmt::format("cannot make directory {}: {}; check the path and its permissions",
                                temporary_.string(), std::strerror(errno)));
    }
  }
}

AtomicDirectory::~AtomicDirectory() {
  if (committed_) return;
  std::error_code error;
  fs::remove_all(temporary_, error);
  if (error)
    log_warning("cannot remove {}: {}; remove it by hand", temporary_.string(), error.message());
}

void AtomicDirectory::commit() {
  if (committed_) throw InternalError("AtomicDirectory::commit called twice");
  for (const auto& entry : fs::recursive_directory_iterator(temporary_)) {
    if (entry.is_regular_file() && !entry.is_symlink()) sync_file(entry.path());
    if (entry.is_directory() && !entry.is_symlink()) sync_directory(entry.path());
  }
  mark_done(temporary_);
  // rename() replaces an empty directory and refuses one that has been filled meanwhile.
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    throw IoError(fmt::format("cannot rename {} to {}: {}; choose another --output, or remove it",
                              temporary_.string(), target_.string(), std::strerror(errno)));
  }
  committed_ = true;
  sync_directory(parent_of(target_));
}

TemporaryDirectory::TemporaryDirectory(const fs::path& base, const std::string& prefix) {
  std::string pattern = (base / (prefix + "-XXXXXX")).string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    throw IoError(
        fmt::format("cannot make a folder in {}: {}; check its permissions, or set TMPDIR",
                    base.string(), std::strerror(errno)));
  }
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace podium
