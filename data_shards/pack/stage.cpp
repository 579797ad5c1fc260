// Copying under locks of byte ranges: range i of one lock file guards file i of the set. The kernel
// takes a dead process's locks away.
#include "data_shards/pack/stage.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/progress.h"
#include "data_shards/format/dataset_files.h"
#include "data_shards/format/set_index.h"
#include "data_shards/format/shard_index.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBufferBytes = size_t{4} << 20;
constexpr const char* kLockFile = ".staging.lock";

class Descriptor {
 public:
  Descriptor(const fs::path& file, int flags) : file_(file) {
    descriptor_ = open(file.c_str(), flags | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail("open");
  }
  ~Descriptor() { close(descriptor_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return descriptor_; }
  [[noreturn]] void fail(const char* what) const {
    throw IoError(fmt::format("cannot {} {}: {}; check --stage, its free space and permissions",
                              what, file_.string(), std::strerror(errno)));
  }

 private:
  fs::path file_;
  int descriptor_ = -1;
};

// Locks one byte of a file for this object's life.
class RangeLock {
 public:
  // Waits for the lock if `waits`; otherwise is_held() tells whether it was free.
  RangeLock(const Descriptor& file, int64_t at, bool waits) : file_(file), at_(at) {
    struct flock range = describe(F_WRLCK);
    int result = 0;
    do {
      result = fcntl(file.get(), waits ? F_OFD_SETLKW : F_OFD_SETLK, &range);
    } while (result != 0 && errno == EINTR);
    is_held_ = result == 0;
    if (!is_held_ && errno != EAGAIN && errno != EACCES) file.fail("lock");
  }
  ~RangeLock() {
    struct flock range = describe(F_UNLCK);
    if (is_held_) fcntl(file_.get(), F_OFD_SETLK, &range);
  }
  RangeLock(const RangeLock&) = delete;
  RangeLock& operator=(const RangeLock&) = delete;
  bool is_held() const { return is_held_; }

 private:
  struct flock describe(short type) const {
    struct flock range {};
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = at_;
    range.l_len = 1;
    return range;
  }
  const Descriptor& file_;
  int64_t at_;
  bool is_held_ = false;
};

// Copies a file and returns the digest of its bytes.
std::string copy_bytes(const fs::path& from, const fs::path& to) {
  const Descriptor input(from, O_RDONLY);
  const Descriptor output(to, O_WRONLY | O_CREAT | O_TRUNC);
  posix_fadvise(input.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  Hasher hasher;
  std::vector<char> buffer(kBufferBytes);
  while (true) {
    const ssize_t count = read(input.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) input.fail("read");
    if (count == 0) break;
    hasher.update(buffer.data(), static_cast<size_t>(count));
    for (ssize_t done = 0; done < count;) {
      const ssize_t written =
          write(output.get(), buffer.data() + done, static_cast<size_t>(count - done));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) output.fail("write");
      done += written;
    }
  }
  if (fsync(output.get()) != 0) output.fail("write");
  return hasher.hex();
}

// A shard with its index and table; the tar comes last, so that it tells of the others.
void copy_shard(const fs::path& from, const fs::path& to, const ShardInfo& shard) {
  const fs::path source = from / shard.file;
  const fs::path target = to / shard.file;
  write_file_atomic(shard_index_path(target), read_file(shard_index_path(source)));
  write_file_atomic(sample_table_path(target), read_file(sample_table_path(source)));
  const fs::path part = target.string() + ".part";
  const std::string found = copy_bytes(source, part);
  if (found != shard.xxh3_128) {
    fs::remove(part);
    throw DataError(
        fmt::format("{}: XXH3-128 is {}, but dataset.json says {}; copy the data set "
                    "again, or repack",
                    source.string(), found, shard.xxh3_128));
  }
  fs::rename(part, target);
}

void check_space(const fs::path& folder, const std::vector<ShardInfo>& shards) {
  int64_t needed = 0;
  for (const ShardInfo& shard : shards) {
    if (!fs::exists(folder / shard.file)) needed += shard.num_bytes;
  }
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error || static_cast<int64_t>(space.available) >= needed) return;
  throw IoError(
      fmt::format("{} has {} bytes free, but the set needs {}; choose another --stage, or "
                  "remove old copies",
                  folder.string(), space.available, needed));
}

}  // namespace

fs::path stage_dataset(const fs::path& data, const fs::path& folder) {
  require_done(data, "run podium pack again; it goes on where it stopped");
  const std::string text = read_file(data / kDatasetFile);
  const fs::path target = folder / xxh3_128_hex(text);
  if (is_done(target)) return target;
  const auto description = parse_description(text, (data / kDatasetFile).string());
  const auto& shards = description.shards;
  make_directories(target);
  const Descriptor lock_file(target / kLockFile, O_RDWR | O_CREAT);
  check_space(target, shards);
  Progress progress("staging", shards.size(), "shards");
  // First what nobody else copies, then what others have not finished.
  for (const bool waits : {false, true}) {
    for (size_t i = 0; i < shards.size(); ++i) {
      if (fs::exists(target / shards[i].file)) continue;
      const RangeLock lock(lock_file, static_cast<int64_t>(i), waits);
      if (!lock.is_held() || fs::exists(target / shards[i].file)) continue;
      copy_shard(data, target, shards[i]);
      progress.advance();
    }
  }
  progress.finish();
  const RangeLock lock(lock_file, std::ssize(shards), true);
  if (is_done(target)) return target;
  if (!description.index_xxh3_128.empty()) {
    const fs::path part = target / (std::string(kSetIndexFile) + ".part");
    copy_bytes(data / kSetIndexFile, part);
    fs::rename(part, target / kSetIndexFile);
  }
  write_file_atomic(target / kDatasetFile, text);
  mark_done(target);
  return target;
}

}  // namespace podium::data_shards
