// samples.bin: all that is known of a set's samples and shards in one file that is used where it
// lies, so that neither opening nor memory grows with the set. Format: docs/formats.md. Read next:
// set_index_writer.h, dataset.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data_shards/format/dataset.h"
#include "data_shards/format/mapped_file.h"

namespace podium::data_shards {

inline constexpr const char* kSetIndexFile = "samples.bin";

// Immutable; shared by all threads. Every place in the bytes is checked before it is used: damaged
// ones give DataError "FILE (byte N): ...; copy the data set again, or repack", from the
// constructor or from the function that comes across them. Views point into the bytes.
// Requires: positions of samples in [0, num_samples()), of shards in [0, num_shards()).
class SetIndex {
 public:
  // Maps a file. Its digest is not looked at. Errors: IoError.
  explicit SetIndex(const std::filesystem::path& file);
  // The same of bytes in memory; errors name `place`.
  SetIndex(std::string bytes, std::string place);

  int64_t num_samples() const { return num_samples_; }
  int64_t num_shards() const { return num_shards_; }
  int64_t num_members() const { return num_members_; }  // of all samples
  SampleRecord sample(int64_t index) const;
  std::string_view key(int64_t index) const;
  int32_t shard_of(int64_t index) const;
  int64_t class_index(int64_t index) const;
  // Number of the sample's member at that offset among the members of all samples, or -1.
  int64_t member_number(int64_t index, int64_t offset) const;
  ShardInfo shard(int64_t number) const;
  std::string_view shard_file(int64_t number) const;
  int64_t shard_bytes(int64_t number) const;  // size of the tar
  // Position of a key, or -1. Complexity: a look at log2(num_samples) keys.
  int64_t find(std::string_view key) const;

 private:
  struct Record;  // the parts of one sample's bytes
  void check();
  template <typename Value>
  Value load(uint64_t at) const;
  Record record(int64_t index) const;
  MemberRecord member(const Record& record, uint32_t number, uint64_t* name_at) const;
  [[noreturn]] void fail(uint64_t at, const std::string& what) const;

  std::unique_ptr<const MappedFile> mapped_;
  std::string owned_;
  std::string place_;
  std::string_view bytes_;
  int64_t num_samples_ = 0;
  int64_t num_shards_ = 0;
  int64_t num_members_ = 0;
  uint64_t extensions_at_ = 0;
  uint64_t shards_at_ = 0;
  uint64_t tables_at_ = 0;
  std::vector<std::string> extensions_;
};

}  // namespace podium::data_shards
