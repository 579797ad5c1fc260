// Shard bytes through a mapping or pread, each member verified once. Read next: decode.h.
#include "data_shards/sample_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/hash.h"

namespace podium::data_shards {
namespace {

// One open shard. A mapping outlives its descriptor; pread needs it.
struct ShardFile {
  int descriptor = -1;
  const char* mapping = nullptr;
  int64_t num_bytes = 0;
};

// `shard train-000012.tar: sample "img_0042" (offset 1536)`
std::string place_of(const Dataset& dataset, const SampleRecord& sample,
                     const MemberRecord& member) {
  return fmt::format("shard {}: sample \"{}\" (offset {})",
                     dataset.shards()[static_cast<size_t>(sample.shard)].file, sample.key,
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

}  // namespace

struct SampleReader::State {
  std::vector<ShardFile> shards;
  std::vector<int64_t> first_bit;               // of each sample in `verified`
  std::vector<std::atomic<uint64_t>> verified;  // one bit per member

  ~State() {
    for (const ShardFile& shard : shards) {
      if (shard.mapping)
        ::munmap(const_cast<char*>(shard.mapping), static_cast<size_t>(shard.num_bytes));
      if (shard.descriptor >= 0) ::close(shard.descriptor);
    }
  }

  void open(const std::filesystem::path& file, const ShardInfo& info, ReaderKind kind) {
    ShardFile& shard = shards.emplace_back();
    shard.descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (shard.descriptor < 0) fail_open(file, errno);
    struct stat status {};
    if (::fstat(shard.descriptor, &status) != 0) fail_open(file, errno);
    shard.num_bytes = status.st_size;
    check_size(shard, info, file);
    if (kind == ReaderKind::kPread || shard.num_bytes == 0) return;
    void* mapping = ::mmap(nullptr, static_cast<size_t>(shard.num_bytes), PROT_READ, MAP_SHARED,
                           shard.descriptor, 0);
    if (mapping == MAP_FAILED) fail_open(file, errno);
    shard.mapping = static_cast<const char*>(mapping);
    ::close(std::exchange(shard.descriptor, -1));
  }
};

SampleReader::SampleReader(std::shared_ptr<const Dataset> dataset, ReaderKind kind)
    : dataset_(std::move(dataset)), state_(std::make_unique<State>()) {
  state_->shards.reserve(dataset_->shards().size());
  for (const ShardInfo& info : dataset_->shards()) {
    state_->open(dataset_->directory() / info.file, info, kind);
  }
  int64_t num_members = 0;
  state_->first_bit.reserve(static_cast<size_t>(dataset_->size()));
  for (int64_t index = 0; index < dataset_->size(); ++index) {
    state_->first_bit.push_back(num_members);
    num_members += static_cast<int64_t>(dataset_->sample(index).members.size());
  }
  state_->verified = std::vector<std::atomic<uint64_t>>(static_cast<size_t>(num_members / 64 + 1));
}

SampleReader::~SampleReader() = default;

std::string_view SampleReader::read(int64_t index, const MemberRecord& member,
                                    std::string* buffer) const {
  const SampleRecord& sample = dataset_->sample(index);
  const ShardFile& shard = state_->shards[static_cast<size_t>(sample.shard)];
  // Checked before a byte is touched: a page behind the end of a mapped file is a SIGBUS, not an
  // error.
  if (member.offset < 0 || member.size < 0 || member.offset > shard.num_bytes - member.size) {
    throw DataError(fmt::format("{}: needs bytes up to {}, but the shard ends at {}; repack",
                                place_of(*dataset_, sample, member), member.offset + member.size,
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
                        place_of(*dataset_, sample, member), member.size,
                        count < 0 ? std::strerror(errno) : "the file has become shorter"));
      }
      done += count;
    }
    bytes = *buffer;
  }

  const auto position =
      std::find_if(sample.members.begin(), sample.members.end(),
                   [&](const MemberRecord& other) { return other.offset == member.offset; });
  const int64_t bit =
      state_->first_bit[static_cast<size_t>(index)] + (position - sample.members.begin());
  if (position == sample.members.end()) {
    throw InternalError(place_of(*dataset_, sample, member) + ": not a member of this sample");
  }
  std::atomic<uint64_t>& word = state_->verified[static_cast<size_t>(bit / 64)];
  const uint64_t flag = uint64_t{1} << (bit % 64);
  if (word.load(std::memory_order_relaxed) & flag) return bytes;
  const uint64_t checksum = xxh3_64(bytes);
  if (checksum != member.xxh3) {
    throw DataError(
        fmt::format("{}: checksum {:016x}, expected {:016x}; copy the shard again or "
                    "repack, or --on_bad_sample=skip",
                    place_of(*dataset_, sample, member), checksum, member.xxh3));
  }
  word.fetch_or(flag, std::memory_order_relaxed);
  return bytes;
}

}  // namespace podium::data_shards
