// Samples are appended as they come; what is counted on the way follows behind them.
#include "data_shards/format/set_index_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "data_shards/format/mapped_file.h"
#include "data_shards/format/set_index_layout.h"

namespace podium::data_shards {

using set_index_layout::kMagic;
using set_index_layout::MemberEntry;
using set_index_layout::SampleHeader;
using set_index_layout::ShardHeader;
using set_index_layout::Trailer;

namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

class FileSink : public IndexSink {
 public:
  explicit FileSink(std::filesystem::path file) : file_(std::move(file)) {
    descriptor_ = ::open(file_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail();
  }
  ~FileSink() override { ::close(descriptor_); }
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;
  void append(std::string_view bytes) override {
    buffer_.append(bytes);
    if (buffer_.size() >= kBufferBytes) flush();
  }
  std::string_view bytes() override {
    flush();
    mapped_ = std::make_unique<MappedFile>(file_, MappedFile::Access::kRandom);
    return mapped_->bytes();
  }
  // On the disk, so that the index is whole when the set's DONE is there.
  void finish() override {
    flush();
    if (::fsync(descriptor_) != 0) fail();
  }

 private:
  [[noreturn]] void fail() const {
    throw IoError(fmt::format("cannot write {}: {}; check the free space and permissions",
                              file_.string(), std::strerror(errno)));
  }
  void flush() {
    for (size_t done = 0; done < buffer_.size();) {
      const ssize_t count = ::write(descriptor_, buffer_.data() + done, buffer_.size() - done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail();
      done += static_cast<size_t>(count);
    }
    buffer_.clear();
  }
  std::filesystem::path file_;
  int descriptor_ = -1;
  std::string buffer_;
  std::unique_ptr<const MappedFile> mapped_;
};

class ComparingSink : public IndexSink {
 public:
  ComparingSink(std::string_view expected, std::string file)
      : expected_(expected), file_(std::move(file)) {}
  void append(std::string_view bytes) override {
    if (expected_.substr(at_, bytes.size()) != bytes) {
      throw DataError(
          fmt::format("{} (byte {}): differs from the sample tables; repack", file_, at_));
    }
    at_ += bytes.size();
  }
  std::string_view bytes() override { return expected_.substr(0, at_); }
  void finish() override {
    if (at_ == expected_.size()) return;
    throw DataError(fmt::format("{}: {} bytes, but the sample tables give {}; repack", file_,
                                expected_.size(), at_));
  }

 private:
  std::string_view expected_;
  std::string file_;
  size_t at_ = 0;
};

template <typename Value>
std::string_view bytes_of(const Value& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

template <typename Value>
std::string_view bytes_of(const std::vector<Value>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Value)};
}

uint32_t length_of(size_t size) { return static_cast<uint32_t>(size); }

// What stands for a text that repeats the key.
std::string_view unless_key(const std::string& text, const std::string& key) {
  return text == key ? std::string_view() : std::string_view(text);
}

}  // namespace

std::unique_ptr<IndexSink> make_file_sink(const std::filesystem::path& file) {
  return std::make_unique<FileSink>(file);
}

std::unique_ptr<IndexSink> make_comparing_sink(std::string_view expected, std::string file) {
  return std::make_unique<ComparingSink>(expected, std::move(file));
}

SetIndexWriter::SetIndexWriter(IndexSink* sink, std::string place)
    : sink_(sink), place_(std::move(place)) {
  append(kMagic);
}

void SetIndexWriter::append(std::string_view bytes) {
  sink_->append(bytes);
  at_ += bytes.size();
}

uint32_t SetIndexWriter::number_of(const std::string& extension) {
  return extensions_.emplace(extension, length_of(extensions_.size())).first->second;
}

void SetIndexWriter::append_sample(const SampleRecord& sample) {
  const std::string_view stem = unless_key(sample.stem, sample.key);
  const std::string_view group = unless_key(sample.group, sample.key);
  SampleHeader header{};
  header.first_member = num_members_;
  header.shard = static_cast<int32_t>(shard_places_.size());
  header.class_index = static_cast<int32_t>(sample.class_index);
  header.num_members = length_of(sample.members.size());
  header.num_mask_pixels = length_of(sample.mask_pixels.size());
  header.num_labels = length_of(sample.class_vector.size());
  header.key_bytes = length_of(sample.key.size());
  header.stem_bytes = length_of(stem.size());
  header.group_bytes = length_of(group.size());
  scratch_.assign(bytes_of(header));
  for (const MemberRecord& member : sample.members) {
    const MemberEntry entry{.offset = member.offset,
                            .size = member.size,
                            .xxh3 = member.xxh3,
                            .width = member.width,
                            .height = member.height,
                            .extension = number_of(member.extension),
                            .name_bytes = length_of(member.name.size())};
    scratch_.append(bytes_of(entry));
  }
  scratch_.append(bytes_of(sample.mask_pixels));
  for (const float label : sample.class_vector) {
    scratch_.push_back(static_cast<char>(static_cast<signed char>(label)));
  }
  scratch_.append(sample.key).append(stem).append(group);
  for (const MemberRecord& member : sample.members) scratch_.append(member.name);
  num_members_ += sample.members.size();
  sample_places_.push_back(at_);
  append(scratch_);
}

void SetIndexWriter::add(const ShardInfo& shard, const std::vector<SampleRecord>& samples) {
  ShardHeader header{};
  header.first_sample = std::ssize(sample_places_);
  header.num_samples = std::ssize(samples);
  header.num_bytes = shard.num_bytes;
  header.file_bytes = length_of(shard.file.size());
  header.digest_bytes = length_of(shard.xxh3_128.size());
  header.table_digest_bytes = length_of(shard.samples_xxh3_128.size());
  for (const SampleRecord& sample : samples) append_sample(sample);
  shard_places_.push_back(shard_records_.size());
  shard_records_.append(bytes_of(header));
  shard_records_.append(shard.file).append(shard.xxh3_128).append(shard.samples_xxh3_128);
}

std::string_view SetIndexWriter::key(uint32_t index) const {
  const uint64_t at = sample_places_[index];
  SampleHeader header;
  std::memcpy(&header, written_.data() + at, sizeof(header));
  const uint64_t key_at = at + sizeof(header) + header.num_members * sizeof(MemberEntry) +
                          uint64_t{header.num_mask_pixels} * 8 + header.num_labels;
  return written_.substr(key_at, header.key_bytes);
}

std::vector<uint32_t> SetIndexWriter::sorted_by_key() const {
  if (sample_places_.size() > std::numeric_limits<uint32_t>::max()) {
    throw DataError(fmt::format("{}: {} samples, but a set holds at most {}; pack it in parts",
                                place_, sample_places_.size(),
                                std::numeric_limits<uint32_t>::max()));
  }
  std::vector<uint32_t> order(sample_places_.size());
  std::iota(order.begin(), order.end(), 0U);
  const auto is_before = [&](uint32_t a, uint32_t b) {
    const int sign = key(a).compare(key(b));
    return sign != 0 ? sign < 0 : a < b;
  };
  if (!std::is_sorted(order.begin(), order.end(), is_before)) {
    std::sort(order.begin(), order.end(), is_before);
  }
  for (size_t i = 1; i < order.size(); ++i) {
    if (key(order[i]) != key(order[i - 1])) continue;
    throw DataError(fmt::format("{}: key \"{}\" belongs to samples {} and {}; repack", place_,
                                key(order[i]), order[i - 1], order[i]));
  }
  return order;
}

void SetIndexWriter::finish() {
  written_ = sink_->bytes();
  const std::vector<uint32_t> by_key = sorted_by_key();
  written_ = {};
  Trailer trailer{};
  trailer.num_samples = sample_places_.size();
  trailer.num_shards = shard_places_.size();
  trailer.num_extensions = extensions_.size();
  trailer.num_members = num_members_;
  trailer.extensions_at = at_;
  std::vector<std::string_view> extensions(extensions_.size());
  for (const auto& [extension, number] : extensions_) extensions[number] = extension;
  for (const std::string_view extension : extensions) {
    append(bytes_of(length_of(extension.size())));
    append(extension);
  }
  trailer.shards_at = at_;
  for (uint64_t& place : shard_places_) place += at_;
  append(shard_records_);
  trailer.tables_at = at_;
  append(bytes_of(shard_places_));
  append(bytes_of(sample_places_));
  append(bytes_of(by_key));
  std::memcpy(trailer.magic, kMagic.data(), kMagic.size());
  append(bytes_of(trailer));
  sink_->finish();
}

}  // namespace podium::data_shards
