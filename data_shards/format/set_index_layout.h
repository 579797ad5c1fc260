// The fixed parts of samples.bin as they lie in the file. Format: docs/formats.md. Read next:
// set_index.h (reading), set_index_writer.h.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace podium::data_shards::set_index_layout {

static_assert(std::endian::native == std::endian::little);

inline constexpr std::string_view kMagic = "podidx2\n";     // at the start and at the end
inline constexpr std::string_view kOldMagic = "podidx1\n";  // the version before: tables are read

// Behind it: the members, i64 pixels of each class, i8 labels, then the texts key, stem, group and
// the members' names. An empty stem or group stands for the key, which is never empty.
struct SampleHeader {
  uint64_t first_member;  // members of all samples before this one
  int32_t shard;
  int32_t class_index;  // -1: none
  uint32_t num_members;
  uint32_t num_mask_pixels;
  uint32_t num_labels;
  uint32_t key_bytes;
  uint32_t stem_bytes;
  uint32_t group_bytes;
};
static_assert(sizeof(SampleHeader) == 40 && std::is_trivially_copyable_v<SampleHeader>);

struct MemberEntry {
  int64_t offset;  // bytes, in the tar
  int64_t size;    // bytes
  uint64_t xxh3;
  int32_t width;   // px
  int32_t height;  // px
  uint32_t extension;
  uint32_t name_bytes;
};
static_assert(sizeof(MemberEntry) == 40 && std::is_trivially_copyable_v<MemberEntry>);

// Behind it: the texts file, xxh3_128, samples_xxh3_128.
struct ShardHeader {
  int64_t first_sample;
  int64_t num_samples;
  int64_t num_bytes;
  uint32_t file_bytes;
  uint32_t digest_bytes;
  uint32_t table_digest_bytes;
  uint32_t zero;
};
static_assert(sizeof(ShardHeader) == 40 && std::is_trivially_copyable_v<ShardHeader>);

// The last bytes of the file, before them the tables: u64 place of each shard, u64 place of each
// sample, u32 positions of the samples in the order of their keys.
struct Trailer {
  uint64_t num_samples;
  uint64_t num_shards;
  uint64_t num_extensions;
  uint64_t num_members;
  uint64_t extensions_at;  // bytes from the start of the file
  uint64_t shards_at;
  uint64_t tables_at;
  char magic[8];
};
static_assert(sizeof(Trailer) == 64 && std::is_trivially_copyable_v<Trailer>);

}  // namespace podium::data_shards::set_index_layout
