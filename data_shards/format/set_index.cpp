// Reading of samples.bin in place: nothing is taken from the bytes that was not checked to lie
// within them.
#include "data_shards/format/set_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "data_shards/format/set_index_layout.h"

namespace podium::data_shards {

using set_index_layout::kMagic;
using set_index_layout::MemberEntry;
using set_index_layout::SampleHeader;
using set_index_layout::ShardHeader;
using set_index_layout::Trailer;

namespace {

// Takes texts of known lengths one after another. Requires: that they lie within the bytes.
class Texts {
 public:
  Texts(std::string_view bytes, uint64_t at) : bytes_(bytes), at_(at) {}
  std::string_view take(uint64_t size) {
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }

 private:
  std::string_view bytes_;
  uint64_t at_;
};

}  // namespace

struct SetIndex::Record {
  uint64_t at = 0;   // of the header
  uint64_t end = 0;  // of the record
  SampleHeader header{};

  uint64_t members_at() const { return at + sizeof(SampleHeader); }
  uint64_t pixels_at() const {
    return members_at() + uint64_t{header.num_members} * sizeof(MemberEntry);
  }
  uint64_t labels_at() const { return pixels_at() + uint64_t{header.num_mask_pixels} * 8; }
  uint64_t key_at() const { return labels_at() + header.num_labels; }
  uint64_t names_at() const {
    return key_at() + uint64_t{header.key_bytes} + header.stem_bytes + header.group_bytes;
  }
};

SetIndex::SetIndex(const std::filesystem::path& file)
    : mapped_(std::make_unique<MappedFile>(file, MappedFile::Access::kRandom)),
      place_(file.string()),
      bytes_(mapped_->bytes()) {
  check();
}

SetIndex::SetIndex(std::string bytes, std::string place)
    : owned_(std::move(bytes)), place_(std::move(place)), bytes_(owned_) {
  check();
}

void SetIndex::fail(uint64_t at, const std::string& what) const {
  throw DataError(
      fmt::format("{} (byte {}): {}; copy the data set again, or repack", place_, at, what));
}

template <typename Value>
Value SetIndex::load(uint64_t at) const {
  Value value;
  if (at > bytes_.size() || bytes_.size() - at < sizeof(value)) fail(at, "cut or damaged");
  std::memcpy(&value, bytes_.data() + at, sizeof(value));
  return value;
}

void SetIndex::check() {
  const uint64_t size = bytes_.size();
  if (bytes_.substr(0, kMagic.size()) != kMagic) fail(0, "no sample index of this version");
  if (size < kMagic.size() + sizeof(Trailer)) fail(size, "cut or damaged");
  const uint64_t trailer_at = size - sizeof(Trailer);
  const auto trailer = load<Trailer>(trailer_at);
  if (std::string_view(trailer.magic, sizeof(trailer.magic)) != kMagic) {
    fail(size - kMagic.size(), "the file does not end as it should: cut or damaged");
  }
  const bool is_ordered = kMagic.size() <= trailer.extensions_at &&
                          trailer.extensions_at <= trailer.shards_at &&
                          trailer.shards_at <= trailer.tables_at && trailer.tables_at <= trailer_at;
  if (!is_ordered) fail(trailer_at, "its parts do not lie in order");
  // Each count is held against the space first, so that their sum cannot wrap around.
  const uint64_t space = trailer_at - trailer.tables_at;
  if (trailer.num_shards > space / 8 || trailer.num_samples > space / 12 ||
      trailer.num_shards * 8 + trailer.num_samples * 12 != space) {
    fail(trailer_at, fmt::format("{} shards and {} samples do not fit tables of {} bytes",
                                 trailer.num_shards, trailer.num_samples, space));
  }
  if (trailer.num_members > size) fail(trailer_at, "more members than bytes");
  num_samples_ = static_cast<int64_t>(trailer.num_samples);
  num_shards_ = static_cast<int64_t>(trailer.num_shards);
  num_members_ = static_cast<int64_t>(trailer.num_members);
  extensions_at_ = trailer.extensions_at;
  shards_at_ = trailer.shards_at;
  tables_at_ = trailer.tables_at;
  uint64_t at = extensions_at_;
  for (uint64_t i = 0; i < trailer.num_extensions; ++i) {
    if (shards_at_ - at < sizeof(uint32_t)) fail(at, "an extension is cut");
    const auto length = load<uint32_t>(at);
    at += sizeof(uint32_t);
    if (length > shards_at_ - at) fail(at, "an extension is cut");
    extensions_.emplace_back(bytes_.substr(at, length));
    at += length;
  }
}

SetIndex::Record SetIndex::record(int64_t index) const {
  const uint64_t place = tables_at_ + static_cast<uint64_t>(num_shards_ + index) * 8;
  Record record;
  record.at = load<uint64_t>(place);
  record.end = index + 1 < num_samples_ ? load<uint64_t>(place + 8) : extensions_at_;
  if (record.at < kMagic.size() || record.at > record.end || record.end > extensions_at_ ||
      record.end - record.at < sizeof(SampleHeader)) {
    fail(place, fmt::format("sample {} does not lie where samples are", index));
  }
  record.header = load<SampleHeader>(record.at);
  // No sum here reaches 2^64: each of the lengths has 32 bits.
  if (record.names_at() > record.end) {
    fail(record.at, fmt::format("sample {} is longer than its place", index));
  }
  const SampleHeader& header = record.header;
  if (header.key_bytes == 0) fail(record.at, fmt::format("sample {} has no key", index));
  if (header.num_members == 0) fail(record.at, fmt::format("sample {} has no members", index));
  if (header.shard < 0 || header.shard >= num_shards_) {
    fail(record.at,
         fmt::format("sample {} is of shard {} of {}", index, header.shard, num_shards_));
  }
  if (header.first_member > static_cast<uint64_t>(num_members_) ||
      header.num_members > static_cast<uint64_t>(num_members_) - header.first_member) {
    fail(record.at, fmt::format("sample {} has more members than the set", index));
  }
  return record;
}

MemberRecord SetIndex::member(const Record& record, uint32_t number, uint64_t* name_at) const {
  const uint64_t at = record.members_at() + uint64_t{number} * sizeof(MemberEntry);
  const auto entry = load<MemberEntry>(at);
  if (entry.extension >= extensions_.size()) fail(at, "a member has an unknown extension");
  if (entry.name_bytes > record.end - *name_at) fail(at, "a member's name is cut");
  MemberRecord member;
  member.extension = extensions_[entry.extension];
  member.name = bytes_.substr(*name_at, entry.name_bytes);
  member.offset = entry.offset;
  member.size = entry.size;
  member.xxh3 = entry.xxh3;
  member.width = entry.width;
  member.height = entry.height;
  *name_at += entry.name_bytes;
  return member;
}

SampleRecord SetIndex::sample(int64_t index) const {
  const Record at = record(index);
  Texts texts(bytes_, at.key_at());
  SampleRecord sample;
  sample.key = texts.take(at.header.key_bytes);
  const std::string_view stem = texts.take(at.header.stem_bytes);
  const std::string_view group = texts.take(at.header.group_bytes);
  sample.stem = stem.empty() ? std::string_view(sample.key) : stem;
  sample.group = group.empty() ? std::string_view(sample.key) : group;
  sample.shard = at.header.shard;
  sample.class_index = at.header.class_index;
  sample.class_vector.reserve(at.header.num_labels);
  for (const char byte : bytes_.substr(at.labels_at(), at.header.num_labels)) {
    const auto label = static_cast<float>(static_cast<signed char>(byte));
    if (label != 0.0f && label != 1.0f && label != kUnknownLabel) {
      fail(at.labels_at(), fmt::format("sample {}: a label is none of 0, 1, -1", index));
    }
    sample.class_vector.push_back(label);
  }
  sample.mask_pixels.reserve(at.header.num_mask_pixels);
  for (uint64_t k = 0; k < at.header.num_mask_pixels; ++k) {
    sample.mask_pixels.push_back(load<int64_t>(at.pixels_at() + k * 8));
  }
  uint64_t name_at = at.names_at();
  sample.members.reserve(at.header.num_members);
  for (uint32_t i = 0; i < at.header.num_members; ++i) {
    sample.members.push_back(member(at, i, &name_at));
  }
  return sample;
}

std::string_view SetIndex::key(int64_t index) const {
  const Record at = record(index);
  return bytes_.substr(at.key_at(), at.header.key_bytes);
}

int32_t SetIndex::shard_of(int64_t index) const { return record(index).header.shard; }

int64_t SetIndex::class_index(int64_t index) const { return record(index).header.class_index; }

int64_t SetIndex::member_number(int64_t index, int64_t offset) const {
  const Record at = record(index);
  for (uint64_t i = 0; i < at.header.num_members; ++i) {
    const auto entry = load<MemberEntry>(at.members_at() + i * sizeof(MemberEntry));
    if (entry.offset == offset) return static_cast<int64_t>(at.header.first_member + i);
  }
  return -1;
}

ShardInfo SetIndex::shard(int64_t number) const {
  const uint64_t place = tables_at_ + static_cast<uint64_t>(number) * 8;
  const auto at = load<uint64_t>(place);
  if (at < shards_at_ || at > tables_at_ || tables_at_ - at < sizeof(ShardHeader)) {
    fail(place, fmt::format("shard {} does not lie where shards are", number));
  }
  const auto header = load<ShardHeader>(at);
  const uint64_t length =
      uint64_t{header.file_bytes} + header.digest_bytes + uint64_t{header.table_digest_bytes};
  if (length > tables_at_ - at - sizeof(ShardHeader)) {
    fail(at, fmt::format("shard {} is longer than its place", number));
  }
  if (header.first_sample < 0 || header.num_samples < 0 || header.num_samples > num_samples_ ||
      header.first_sample > num_samples_ - header.num_samples) {
    fail(at, fmt::format("shard {} has more samples than the set", number));
  }
  Texts texts(bytes_, at + sizeof(ShardHeader));
  ShardInfo shard;
  shard.file = texts.take(header.file_bytes);
  shard.first_sample = header.first_sample;
  shard.num_samples = header.num_samples;
  shard.num_bytes = header.num_bytes;
  shard.xxh3_128 = texts.take(header.digest_bytes);
  shard.samples_xxh3_128 = texts.take(header.table_digest_bytes);
  return shard;
}

std::string_view SetIndex::shard_file(int64_t number) const {
  const auto at = load<uint64_t>(tables_at_ + static_cast<uint64_t>(number) * 8);
  const uint64_t length = load<ShardHeader>(at).file_bytes;
  const uint64_t file_at = at + sizeof(ShardHeader);
  if (length > bytes_.size() - file_at) fail(at, fmt::format("shard {} is cut", number));
  return bytes_.substr(file_at, length);
}

int64_t SetIndex::shard_bytes(int64_t number) const {
  const auto at = load<uint64_t>(tables_at_ + static_cast<uint64_t>(number) * 8);
  return load<ShardHeader>(at).num_bytes;
}

int64_t SetIndex::find(std::string_view wanted) const {
  const uint64_t by_key_at = tables_at_ + static_cast<uint64_t>(num_shards_ + num_samples_) * 8;
  const auto position = [&](int64_t rank) {
    const uint64_t at = by_key_at + static_cast<uint64_t>(rank) * 4;
    const auto index = load<uint32_t>(at);
    if (index >= static_cast<uint64_t>(num_samples_)) fail(at, "no such sample");
    return static_cast<int64_t>(index);
  };
  int64_t first = 0;
  for (int64_t length = num_samples_; length > 0;) {
    const int64_t half = length / 2;
    if (key(position(first + half)) < wanted) {
      first += half + 1;
      length -= half + 1;
    } else {
      length = half;
    }
  }
  if (first == num_samples_) return -1;
  const int64_t found = position(first);
  return key(found) == wanted ? found : -1;
}

}  // namespace podium::data_shards
