// Shard bytes through a mapping or pread, each member verified once. Read next: decode.h.
#include "data_shards/format/sample_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/hash.h"

namespace podium::data_shards {
namespace {

constexpr int64_t kMostMappings = 16384;
constexpr int64_t kOpenedEarly = 1024;  // shards
constexpr int64_t kPageBytes = 4096;

// One open shard. A mapping outlives its descriptor; pread needs it.
struct ShardFile {
  int descriptor = -1;
  const char* mapping = nullptr;
  int64_t num_bytes = 0;

  ShardFile() = default;
  ~ShardFile();
  ShardFile(const ShardFile&) = delete;
  ShardFile& operator=(const ShardFile&) = delete;
};

// `shard train-000012.tar: sample "img_0042" (offset 1536)`
std::string place_of(const Dataset& dataset, int64_t index, const MemberRecord& member) {
  return fmt::format("shard {}: sample \"{}\" (offset {})",
                     dataset.shard(dataset.shard_of(index)).file, dataset.key(index),
                     member.offset);
}

[[noreturn]] void fail_open(const std::filesystem::path& file, int error) {
  const char* what_to_do = error == EMFILE ? "raise the limit with ulimit -n, or read by mmap"
                                           : "check --data, or repack";
  throw IoError(
      fmt::format("cannot open shard {}: {}; {}", file.string(), std::strerror(error), what_to_do));
}

void check_size(const ShardFile& shard, const ShardInfo& info, const std::filesystem::path& file) {
  if (shard.num_bytes != info.num_bytes) {
    throw DataError(
        fmt::format("shard {}: holds {} bytes, but dataset.json says {}; it was cut or "
                    "changed: copy it again, or repack",
                    file.string(), shard.num_bytes, info.num_bytes));
  }
}

ShardFile::~ShardFile() {
  if (mapping) ::munmap(const_cast<char*>(mapping), static_cast<size_t>(num_bytes));
  if (descriptor >= 0) ::close(descriptor);
}

std::shared_ptr<ShardFile> open_shard(const std::filesystem::path& file, const ShardInfo& info,
                                      ReaderKind kind, bool reads_neighbours) {
  auto shard = std::make_shared<ShardFile>();
  shard->descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (shard->descriptor < 0) fail_open(file, errno);
  struct stat status {};
  if (::fstat(shard->descriptor, &status) != 0) fail_open(file, errno);
  shard->num_bytes = status.st_size;
  check_size(*shard, info, file);
  // In random order reading ahead behind each sample would fetch what nobody asked for; will_need()
  // names what is read next. Of a block all is read soon, so fewer and larger reads are better.
  ::posix_fadvise(shard->descriptor, 0, 0,
                  reads_neighbours ? POSIX_FADV_SEQUENTIAL : POSIX_FADV_RANDOM);
  if (kind == ReaderKind::kPread || shard->num_bytes == 0) return shard;
  void* mapping = ::mmap(nullptr, static_cast<size_t>(shard->num_bytes), PROT_READ, MAP_SHARED,
                         shard->descriptor, 0);
  if (mapping == MAP_FAILED) fail_open(file, errno);
  ::madvise(mapping, static_cast<size_t>(shard->num_bytes),
            reads_neighbours ? MADV_NORMAL : MADV_RANDOM);
  shard->mapping = static_cast<const char*>(mapping);
  ::close(std::exchange(shard->descriptor, -1));
  return shard;
}

// How many files the process may hold open for shards.
size_t most_open_files() {
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 256;
  return std::clamp<size_t>(limit.rlim_cur / 2, 16, 4096);
}

}  // namespace

struct SampleReader::State {
  const Dataset& dataset;
  ReaderKind kind;
  bool reads_neighbours;
  size_t most_open;  // pread; mappings stay for the reader's life, because views point into them
  std::mutex mutex;
  std::vector<std::shared_ptr<ShardFile>> shards;  // null: not open
  std::deque<size_t> opened;                       // pread: in the order of opening
  std::vector<std::atomic<uint64_t>> verified;     // one bit for each member of the set

  State(const Dataset& set, ReaderKind reader_kind, bool is_local)
      : dataset(set), kind(reader_kind), reads_neighbours(is_local), most_open(most_open_files()) {
    // The kernel allows 65,530 mappings a process; beyond a part of that, copying is the way.
    if (set.num_shards() > kMostMappings) kind = ReaderKind::kPread;
    shards.resize(static_cast<size_t>(set.num_shards()));
  }

  std::shared_ptr<ShardFile> get(size_t shard) {
    const std::lock_guard lock(mutex);
    if (shards[shard]) return shards[shard];
    const ShardInfo info = dataset.shard(static_cast<int64_t>(shard));
    shards[shard] = open_shard(dataset.directory() / info.file, info, kind, reads_neighbours);
    if (kind == ReaderKind::kPread) {
      opened.push_back(shard);
      if (opened.size() > most_open) {
        shards[opened.front()].reset();  // whoever reads from it keeps it open
        opened.pop_front();
      }
    }
    return shards[shard];
  }
};

SampleReader::SampleReader(std::shared_ptr<const Dataset> dataset, ReaderKind kind,
                           bool reads_neighbours)
    : dataset_(std::move(dataset)),
      state_(std::make_unique<State>(*dataset_, kind, reads_neighbours)) {
  // Early, so that a missing shard is noticed before the first step.
  const int64_t num_early = std::min(dataset_->num_shards(), kOpenedEarly);
  for (int64_t shard = 0; shard < num_early; ++shard) state_->get(static_cast<size_t>(shard));
  state_->verified =
      std::vector<std::atomic<uint64_t>>(static_cast<size_t>(dataset_->num_members() / 64 + 1));
}

SampleReader::~SampleReader() = default;

void SampleReader::will_need(int64_t index, const MemberRecord& member) const {
  const std::shared_ptr<ShardFile> shard =
      state_->get(static_cast<size_t>(dataset_->shard_of(index)));
  if (member.offset < 0 || member.size < 0 || member.offset > shard->num_bytes - member.size)
    return;
  if (!shard->mapping) {
    ::posix_fadvise(shard->descriptor, member.offset, member.size, POSIX_FADV_WILLNEED);
    return;
  }
  const int64_t first = member.offset / kPageBytes * kPageBytes;
  ::madvise(const_cast<char*>(shard->mapping) + first,
            static_cast<size_t>(member.offset + member.size - first), MADV_WILLNEED);
}

std::string_view SampleReader::read(int64_t index, const MemberRecord& member,
                                    std::string* buffer) const {
  const std::shared_ptr<ShardFile> held =
      state_->get(static_cast<size_t>(dataset_->shard_of(index)));
  const ShardFile& shard = *held;
  // Checked before a byte is touched: a page behind the end of a mapped file is a SIGBUS, not an
  // error.
  if (member.offset < 0 || member.size < 0 || member.offset > shard.num_bytes - member.size) {
    throw DataError(fmt::format("{}: needs bytes up to {}, but the shard ends at {}; repack",
                                place_of(*dataset_, index, member), member.offset + member.size,
                                shard.num_bytes));
  }
  std::string_view bytes;
  if (shard.mapping) {
    bytes = {shard.mapping + member.offset, static_cast<size_t>(member.size)};
  } else {
    buffer->resize(static_cast<size_t>(member.size));
    for (int64_t done = 0; done < member.size;) {
      const ssize_t count = ::pread(shard.descriptor, buffer->data() + done,
                                    static_cast<size_t>(member.size - done), member.offset + done);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        throw IoError(
            fmt::format("{}: cannot read {} bytes: {}; check the file system, then run again",
                        place_of(*dataset_, index, member), member.size,
                        count < 0 ? std::strerror(errno) : "the file has become shorter"));
      }
      done += count;
    }
    bytes = *buffer;
  }

  const int64_t bit = dataset_->member_number(index, member.offset);
  if (bit < 0) {
    throw InternalError(place_of(*dataset_, index, member) + ": not a member of this sample");
  }
  std::atomic<uint64_t>& word = state_->verified[static_cast<size_t>(bit / 64)];
  const uint64_t flag = uint64_t{1} << (bit % 64);
  if (word.load(std::memory_order_relaxed) & flag) return bytes;
  const uint64_t checksum = xxh3_64(bytes);
  if (checksum != member.xxh3) {
    throw DataError(
        fmt::format("{}: checksum {:016x}, expected {:016x}; copy the shard again or "
                    "repack, or --on_bad_sample=skip",
                    place_of(*dataset_, index, member), checksum, member.xxh3));
  }
  word.fetch_or(flag, std::memory_order_relaxed);
  return bytes;
}

}  // namespace podium::data_shards
