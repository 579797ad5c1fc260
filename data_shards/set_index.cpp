// A stream of numbers and texts, written and read front to back.
#include "data_shards/set_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <type_traits>

#include "base/error.h"

namespace podium::data_shards {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic = "podidx1\n";

class Writer {
 public:
  template <typename Number>
  void number(Number value) {
    static_assert(std::is_arithmetic_v<Number>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void text(std::string_view value) {
    number(static_cast<uint32_t>(value.size()));
    bytes_.append(value);
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_{kMagic};
};

class Reader {
 public:
  Reader(std::string_view bytes, const std::string& file) : bytes_(bytes), file_(file) {
    if (bytes.substr(0, kMagic.size()) != kMagic) fail("is no index of this version");
    at_ = kMagic.size();
  }
  template <typename Number>
  Number number() {
    Number value;
    std::memcpy(&value, take(sizeof(value)).data(), sizeof(value));
    return value;
  }
  std::string_view text() { return take(number<uint32_t>()); }
  // A number of entries of at least `least_bytes` each, so that a damaged one asks for no memory.
  size_t count(size_t least_bytes) {
    const auto value = number<uint64_t>();
    if (value > (bytes_.size() - at_) / least_bytes) fail("is cut or damaged");
    return static_cast<size_t>(value);
  }
  void expect_end() const {
    if (at_ != bytes_.size()) fail("has bytes behind its end");
  }
  [[noreturn]] void fail(const char* what) const {
    throw DataError(
        fmt::format("{} {} (byte {}); copy the data set again, or repack", file_, what, at_));
  }

 private:
  std::string_view take(size_t size) {
    if (size > bytes_.size() - at_) fail("is cut or damaged");
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  std::string_view bytes_;
  const std::string& file_;
  size_t at_ = 0;
};

void write_member(const MemberRecord& member, const std::map<std::string, uint16_t>& extensions,
                  Writer* writer) {
  writer->number(extensions.at(member.extension));
  writer->number(member.offset);
  writer->number(member.size);
  writer->number(member.xxh3);
  writer->number(member.width);
  writer->number(member.height);
  writer->text(member.name);
}

MemberRecord read_member(const std::vector<std::string>& extensions, Reader* reader) {
  MemberRecord member;
  const auto extension = reader->number<uint16_t>();
  if (extension >= extensions.size()) reader->fail("has an unknown extension");
  member.extension = extensions[extension];
  member.offset = reader->number<int64_t>();
  member.size = reader->number<int64_t>();
  member.xxh3 = reader->number<uint64_t>();
  member.width = reader->number<int32_t>();
  member.height = reader->number<int32_t>();
  member.name = reader->text();
  return member;
}

// An empty text stands for the key, which is never empty.
void write_sample(const SampleRecord& sample, const std::map<std::string, uint16_t>& extensions,
                  Writer* writer) {
  writer->text(sample.key);
  writer->text(sample.stem == sample.key ? "" : sample.stem);
  writer->text(sample.group == sample.key ? "" : sample.group);
  writer->number(sample.shard);
  writer->number(sample.class_index);
  writer->number(static_cast<uint64_t>(sample.class_vector.size()));
  for (const float label : sample.class_vector) writer->number(static_cast<int8_t>(label));
  writer->number(static_cast<uint64_t>(sample.mask_pixels.size()));
  for (const int64_t pixels : sample.mask_pixels) writer->number(pixels);
  writer->number(static_cast<uint64_t>(sample.members.size()));
  for (const MemberRecord& member : sample.members) write_member(member, extensions, writer);
}

SampleRecord read_sample(const std::vector<std::string>& extensions, Reader* reader) {
  SampleRecord sample;
  sample.key = reader->text();
  const std::string_view stem = reader->text();
  const std::string_view group = reader->text();
  sample.stem = stem.empty() ? sample.key : std::string(stem);
  sample.group = group.empty() ? sample.key : std::string(group);
  sample.shard = reader->number<int32_t>();
  sample.class_index = reader->number<int64_t>();
  sample.class_vector.resize(reader->count(1));
  for (float& label : sample.class_vector) {
    label = static_cast<float>(reader->number<int8_t>());
    if (label != 0.0f && label != 1.0f && label != kUnknownLabel) {
      reader->fail("has a label that is none of 0, 1, -1");
    }
  }
  sample.mask_pixels.resize(reader->count(8));
  for (int64_t& pixels : sample.mask_pixels) pixels = reader->number<int64_t>();
  const size_t num_members = reader->count(38);
  sample.members.reserve(num_members);
  for (size_t i = 0; i < num_members; ++i) {
    sample.members.push_back(read_member(extensions, reader));
  }
  if (sample.members.empty()) reader->fail("has a sample without members");
  return sample;
}

}  // namespace

std::string set_index_bytes(const std::vector<ShardInfo>& shards,
                            const std::vector<SampleRecord>& samples) {
  std::map<std::string, uint16_t> extensions;
  for (const SampleRecord& sample : samples) {
    for (const MemberRecord& member : sample.members) extensions.emplace(member.extension, 0);
  }
  uint16_t next = 0;
  for (auto& [extension, number] : extensions) number = next++;
  Writer writer;
  writer.number(static_cast<uint64_t>(extensions.size()));
  for (const auto& [extension, number] : extensions) writer.text(extension);
  writer.number(static_cast<uint64_t>(shards.size()));
  for (const ShardInfo& shard : shards) {
    writer.text(shard.file);
    writer.number(shard.num_samples);
    writer.number(shard.num_bytes);
    writer.text(shard.xxh3_128);
    writer.text(shard.samples_xxh3_128);
  }
  writer.number(static_cast<uint64_t>(samples.size()));
  for (const SampleRecord& sample : samples) write_sample(sample, extensions, &writer);
  return writer.take();
}

SetIndex parse_set_index(std::string_view bytes, const std::string& file) {
  Reader reader(bytes, file);
  std::vector<std::string> extensions(reader.count(4));
  for (std::string& extension : extensions) extension = reader.text();
  SetIndex index;
  index.shards.resize(reader.count(28));
  for (ShardInfo& shard : index.shards) {
    shard.file = reader.text();
    shard.num_samples = reader.number<int64_t>();
    shard.num_bytes = reader.number<int64_t>();
    shard.xxh3_128 = reader.text();
    shard.samples_xxh3_128 = reader.text();
  }
  const size_t num_samples = reader.count(48);
  index.samples.reserve(num_samples);
  for (size_t i = 0; i < num_samples; ++i) {
    index.samples.push_back(read_sample(extensions, &reader));
    const int32_t shard = index.samples.back().shard;
    if (shard < 0 || static_cast<size_t>(shard) >= index.shards.size()) {
      reader.fail("has a sample of an unknown shard");
    }
  }
  reader.expect_end();
  return index;
}

}  // namespace podium::data_shards
