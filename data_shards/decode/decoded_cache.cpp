// One file, mapped: header, table of places, blocks of pixels. Places are published by one atomic
// store after the block is written, so that no lock is ever held and a killed process leaves
// nothing but unused bytes. Blocks are written by pwrite, because a full disk is an error there and
// a SIGBUS in a mapping.
#include "data_shards/decode/decoded_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <jconfig.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <opencv2/core/version.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "data_shards/decode/decode.h"
#include "data_shards/format/dataset_files.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;

constexpr int kVersion = 1;  // raise when the layout or the pixels of a decoder change
constexpr uint64_t kPage = 4096;
constexpr uint64_t kAlignment = 64;
constexpr int64_t kNumLevels = 4;  // denominators 1, 2, 4, 8
constexpr char kMagic[17] = "podium-decoded-1";

uint64_t aligned(uint64_t bytes, uint64_t to) { return (bytes + to - 1) / to * to; }

int64_t level_of(int denominator) { return std::countr_zero(static_cast<unsigned>(denominator)); }

[[noreturn]] void fail(const char* what, const fs::path& file) {
  throw IoError(fmt::format(
      "cannot {} {}: {}; check data.cache_dir, its free space and permissions, or data.cache: none",
      what, file.string(), std::strerror(errno)));
}

}  // namespace

struct DecodedCache::Header {
  char magic[16];
  char identity[32];
  std::atomic<uint64_t> num_bytes;  // of the file
  std::atomic<uint64_t> used;       // byte behind the last block
  std::atomic<uint64_t> num_kept;
};

struct DecodedCache::Block {
  uint64_t checksum;  // XXH3-64 of the rest of this header, with the pixels' XXH3-64 as seed
  int64_t entry;
  int32_t rows, cols, channels;  // of the pixels, which follow
  int32_t width, height;         // of the image
  int32_t can_reduce;
  char filling[24];

  bool has_size_up_to(uint64_t num_bytes) const {
    return rows > 0 && cols > 0 && (channels == 1 || channels == 3) &&
           int64_t{rows} * cols <= kMaxPixels && num_pixel_bytes() <= num_bytes;
  }
  uint64_t num_pixel_bytes() const {
    return static_cast<uint64_t>(rows) * static_cast<uint64_t>(cols) *
           static_cast<uint64_t>(channels);
  }
  uint64_t checksum_with(std::string_view pixels) const {
    const char* begin = reinterpret_cast<const char*>(this) + sizeof(checksum);
    return xxh3_64({begin, sizeof(Block) - sizeof(checksum)}, xxh3_64(pixels));
  }
};

DecodedCache::DecodedCache(std::shared_ptr<const Dataset> dataset,
                           const DecodedCacheOptions& options)
    : dataset_(std::move(dataset)) {
  static_assert(sizeof(Block) == kAlignment && sizeof(Header) <= kPage);
  static_assert(std::atomic<uint64_t>::is_always_lock_free);  // or processes could not share it
  num_members_ = std::ssize(dataset_->image_members()) + 1;
  num_entries_ = dataset_->size() * num_members_ * kNumLevels;
  identity_ =
      xxh3_128_hex(fmt::format("{} {} {} libjpeg-turbo {} OpenCV {}", kVersion, dataset_->digest(),
                               num_members_, LIBJPEG_TURBO_VERSION_NUMBER, CV_VERSION));
  first_ = aligned(kPage + static_cast<uint64_t>(num_entries_) * sizeof(uint64_t), kPage);
  end_ = first_ + static_cast<uint64_t>(options.max_bytes);
  checked_ = std::vector<std::atomic<uint64_t>>(static_cast<size_t>(num_entries_ / 64 + 1));
  if (options.directory.empty()) {
    name_ = "memory";
    descriptor_ = memfd_create("podium_decoded", MFD_CLOEXEC);
    if (descriptor_ < 0) fail("make", "memory for decoded images");
    initialise(descriptor_, "memory for decoded images");
    map_file();
  } else {
    open_file(options.directory);
  }
}

DecodedCache::~DecodedCache() {
  if (table_ != nullptr) munmap(table_, first_);
  if (bytes_ != nullptr) munmap(const_cast<char*>(bytes_), mapped_);
  if (descriptor_ >= 0) close(descriptor_);
}

// A new file takes the damaged one's name; whoever has that one mapped keeps it.
void DecodedCache::open_file(const fs::path& directory) {
  make_directories(directory);
  const fs::path file = directory / ("decoded-" + identity_ + ".cache");
  name_ = file.string();
  const fs::path lock_file = file.string() + ".lock";
  const int lock = open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) fail("open", lock_file);
  const std::shared_ptr<void> unlock(nullptr, [lock](void*) { close(lock); });
  if (flock(lock, LOCK_EX) != 0) fail("lock", lock_file);
  descriptor_ = open(file.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor_ >= 0 && is_whole(descriptor_)) return map_file();
  if (descriptor_ >= 0) {
    log_warning("{} is damaged or cut; it is made anew", file.string());
    close(descriptor_);
  }
  const fs::path part = file.string() + ".part";
  descriptor_ = open(part.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail("make", part);
  // The table is written through a mapping, so its blocks must be there.
  errno = posix_fallocate(descriptor_, 0, static_cast<off_t>(first_));
  if (errno != 0) fail("make", part);
  initialise(descriptor_, part);
  if (std::rename(part.c_str(), file.c_str()) != 0) fail("rename", part);
  map_file();
}

bool DecodedCache::is_whole(int descriptor) const {
  alignas(Header) char bytes[sizeof(Header)];
  struct stat status {};
  if (fstat(descriptor, &status) != 0 ||
      pread(descriptor, bytes, sizeof(bytes), 0) != static_cast<ssize_t>(sizeof(bytes))) {
    return false;
  }
  const auto* found = reinterpret_cast<const Header*>(bytes);
  const uint64_t used = found->used.load();
  return std::memcmp(found->magic, kMagic, sizeof(found->magic)) == 0 &&
         std::string_view(found->identity, sizeof(found->identity)) == identity_ &&
         static_cast<uint64_t>(status.st_size) >= found->num_bytes && used >= first_ &&
         used <= found->num_bytes && used % kAlignment == 0;
}

void DecodedCache::initialise(int descriptor, const fs::path& file) const {
  Header fresh{};
  std::memcpy(fresh.magic, kMagic, sizeof(fresh.magic));
  std::memcpy(fresh.identity, identity_.data(), sizeof(fresh.identity));
  fresh.num_bytes = end_;
  fresh.used = first_;
  if (ftruncate(descriptor, static_cast<off_t>(end_)) != 0 ||
      pwrite(descriptor, &fresh, sizeof(fresh), 0) != static_cast<ssize_t>(sizeof(fresh))) {
    fail("write", file);
  }
}

void DecodedCache::map_file() {
  struct stat status {};
  if (fstat(descriptor_, &status) != 0) fail("read", name_);
  // A larger budget than the last run's: the file grows, and is never made shorter.
  if (static_cast<uint64_t>(status.st_size) < end_) {
    if (ftruncate(descriptor_, static_cast<off_t>(end_)) != 0) fail("write", name_);
    status.st_size = static_cast<off_t>(end_);
  }
  mapped_ = static_cast<uint64_t>(status.st_size);
  void* table = mmap(nullptr, first_, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, 0);
  if (table == MAP_FAILED) fail("map", name_);
  table_ = static_cast<char*>(table);
  void* bytes = mmap(nullptr, mapped_, PROT_READ, MAP_SHARED, descriptor_, 0);
  if (bytes == MAP_FAILED) fail("map", name_);
  bytes_ = static_cast<const char*>(bytes);
  madvise(bytes, mapped_, MADV_RANDOM);
  header().num_bytes = std::max(header().num_bytes.load(), end_);
}

DecodedCache::Header& DecodedCache::header() const { return *reinterpret_cast<Header*>(table_); }

std::atomic<uint64_t>& DecodedCache::place(int64_t entry) const {
  return reinterpret_cast<std::atomic<uint64_t>*>(table_ + kPage)[entry];
}

int64_t DecodedCache::number_of(int64_t index, const std::string& extension) const {
  const auto& images = dataset_->image_members();
  const auto found = std::find(images.begin(), images.end(), extension);
  if (found == images.end() && !is_mask_extension(extension)) return -1;
  return index * num_members_ + (found - images.begin());
}

std::optional<DecodedMember> DecodedCache::find(int64_t number, int denominator) {
  const int64_t entry = number * kNumLevels + level_of(denominator);
  const uint64_t offset = place(entry).load(std::memory_order_acquire);
  if (offset == 0) return std::nullopt;
  // Before any byte is touched: places are only as good as the disk.
  const uint64_t file_bytes = header().num_bytes.load(std::memory_order_relaxed);
  bool is_damaged =
      offset < first_ || offset % kAlignment != 0 || offset + sizeof(Block) > file_bytes;
  if (!is_damaged && offset + sizeof(Block) <= mapped_) {
    const auto& block = *reinterpret_cast<const Block*>(bytes_ + offset);
    const uint64_t room = file_bytes - offset - sizeof(Block);
    is_damaged = block.entry != entry || !block.has_size_up_to(room);
    const bool is_mapped =
        !is_damaged && offset + sizeof(Block) + block.num_pixel_bytes() <= mapped_;
    if (is_mapped && is_intact(entry, block)) return member_of(block);
    is_damaged = is_damaged || is_mapped;
  }
  // Otherwise it lies where another owner, with a larger budget, has made the file grow.
  if (is_damaged) forget(entry, offset);
  return std::nullopt;
}

DecodedMember DecodedCache::member_of(const Block& block) {
  auto* pixels = const_cast<char*>(reinterpret_cast<const char*>(&block + 1));
  return {cv::Mat(block.rows, block.cols, CV_8UC(block.channels), pixels), block.width,
          block.height, block.can_reduce != 0};
}

std::optional<DecodedMember> DecodedCache::find_any(int64_t number) {
  for (const int denominator : {1, 2, 4, 8}) {
    if (auto found = find(number, denominator)) return found;
  }
  return std::nullopt;
}

bool DecodedCache::holds(int64_t number) const {
  for (int64_t level = 0; level < kNumLevels; ++level) {
    if (place(number * kNumLevels + level).load(std::memory_order_relaxed) != 0) return true;
  }
  return false;
}

// The checksum is computed at the first look of this process.
bool DecodedCache::is_intact(int64_t entry, const Block& block) {
  std::atomic<uint64_t>& word = checked_[static_cast<size_t>(entry / 64)];
  const uint64_t flag = uint64_t{1} << (entry % 64);
  if (word.load(std::memory_order_relaxed) & flag) return true;
  const std::string_view pixels(reinterpret_cast<const char*>(&block + 1), block.num_pixel_bytes());
  if (block.checksum_with(pixels) != block.checksum) return false;
  word.fetch_or(flag, std::memory_order_relaxed);
  return true;
}

void DecodedCache::forget(int64_t entry, uint64_t offset) {
  if (!place(entry).compare_exchange_strong(offset, 0)) return;
  header().num_kept.fetch_sub(1, std::memory_order_relaxed);
  if (num_damaged_.fetch_add(1) == 0) {
    log_warning("{}: damaged pixels at byte {}; they are decoded anew (further ones are not named)",
                name_, offset);
  }
}

bool DecodedCache::has_room(int64_t num_bytes) const {
  const uint64_t needed = aligned(static_cast<uint64_t>(num_bytes) + sizeof(Block), kAlignment);
  return !is_failing_ && header().used.load(std::memory_order_relaxed) + needed <= end_;
}

std::optional<uint64_t> DecodedCache::reserve(uint64_t num_bytes) {
  uint64_t used = header().used.load(std::memory_order_relaxed);
  do {
    if (used + num_bytes > end_) return std::nullopt;
  } while (!header().used.compare_exchange_weak(used, used + num_bytes));
  return used;
}

bool DecodedCache::write_at(uint64_t offset, const Block& block, const cv::Mat& pixels) {
  std::array<iovec, 2> parts = {iovec{const_cast<Block*>(&block), sizeof(block)},
                                iovec{pixels.data, block.num_pixel_bytes()}};
  for (size_t i = 0; i < parts.size();) {
    if (parts[i].iov_len == 0) {
      ++i;
      continue;
    }
    ssize_t count = pwritev(descriptor_, &parts[i], static_cast<int>(parts.size() - i),
                            static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    offset += static_cast<uint64_t>(count);
    for (size_t k = i; k < parts.size() && count > 0; ++k) {
      const size_t done = std::min(parts[k].iov_len, static_cast<size_t>(count));
      parts[k].iov_base = static_cast<char*>(parts[k].iov_base) + done;
      parts[k].iov_len -= done;
      count -= static_cast<ssize_t>(done);
    }
  }
  return true;
}

void DecodedCache::store(int64_t number, int denominator, const DecodedMember& member) {
  const int64_t entry = number * kNumLevels + level_of(denominator);
  const cv::Mat pixels = member.pixels.isContinuous() ? member.pixels : member.pixels.clone();
  const auto num_bytes = static_cast<int64_t>(pixels.total() * pixels.elemSize());
  if (!has_room(num_bytes) || place(entry).load(std::memory_order_relaxed) != 0) return;
  Block block{};
  block.entry = entry;
  block.rows = pixels.rows;
  block.cols = pixels.cols;
  block.channels = pixels.channels();
  block.width = member.width;
  block.height = member.height;
  block.can_reduce = member.can_reduce;
  block.checksum = block.checksum_with(
      {reinterpret_cast<const char*>(pixels.data), static_cast<size_t>(num_bytes)});
  const std::optional<uint64_t> offset =
      reserve(aligned(static_cast<uint64_t>(num_bytes) + sizeof(Block), kAlignment));
  if (!offset) return;
  if (!write_at(*offset, block, pixels)) {
    const int error = errno;
    if (!is_failing_.exchange(true)) {
      log_warning("cannot write to {}: {}; what is not in it yet is decoded in every epoch ({})",
                  name_, std::strerror(error), summary());
    }
    return;
  }
  uint64_t none = 0;
  if (place(entry).compare_exchange_strong(none, *offset, std::memory_order_release)) {
    header().num_kept.fetch_add(1, std::memory_order_relaxed);
  }
}

int64_t DecodedCache::num_kept() const {
  return static_cast<int64_t>(header().num_kept.load(std::memory_order_relaxed));
}

int64_t DecodedCache::num_damaged() const { return num_damaged_.load(); }

std::string DecodedCache::summary() const {
  const uint64_t used = header().used.load(std::memory_order_relaxed) - first_;
  return fmt::format("{} images and masks, {} of {}", num_kept(), human_bytes(used),
                     human_bytes(end_ - first_));
}

}  // namespace podium::data_shards
