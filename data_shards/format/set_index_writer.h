// Writing of samples.bin, shard after shard, without holding the samples. Format: docs/formats.md.
// Read next: set_index.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data_shards/format/dataset.h"

namespace podium::data_shards {

// Where the bytes of an index go, front to back.
class IndexSink {
 public:
  virtual ~IndexSink() = default;
  virtual void append(std::string_view bytes) = 0;
  // All bytes so far; valid until the next append().
  virtual std::string_view bytes() = 0;
  virtual void finish() {}  // no more bytes will come
};

// Into memory: of a set that has no index.
class MemorySink : public IndexSink {
 public:
  void append(std::string_view bytes) override { bytes_.append(bytes); }
  std::string_view bytes() override { return bytes_; }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Into a file. Errors: IoError names it.
std::unique_ptr<IndexSink> make_file_sink(const std::filesystem::path& file);

// Compares with bytes that are there. Errors: DataError "FILE (byte N): differs from the sample
// tables; repack".
std::unique_ptr<IndexSink> make_comparing_sink(std::string_view expected, std::string file);

class SetIndexWriter {
 public:
  // `place` is named in errors. The sink must live as long as the writer.
  SetIndexWriter(IndexSink* sink, std::string place);
  // Appends a shard and its samples, in order. The shard's first_sample and the samples' shard are
  // counted here. Errors: those of the sink.
  void add(const ShardInfo& shard, const std::vector<SampleRecord>& samples);
  // Sorts the keys and ends the index. Memory: 12 bytes a sample. Errors: DataError "PLACE: key
  // \"x\" belongs to samples 3 and 7; repack".
  void finish();

 private:
  void append(std::string_view bytes);
  void append_sample(const SampleRecord& sample);
  uint32_t number_of(const std::string& extension);
  std::string_view key(uint32_t index) const;
  std::vector<uint32_t> sorted_by_key() const;

  IndexSink* sink_;
  std::string place_;
  uint64_t at_ = 0;
  uint64_t num_members_ = 0;
  std::map<std::string, uint32_t> extensions_;  // numbered as they come
  std::vector<uint64_t> sample_places_;
  std::string shard_records_;
  std::vector<uint64_t> shard_places_;  // in shard_records_
  std::string scratch_;
  std::string_view written_;  // while the keys are sorted
};

}  // namespace podium::data_shards
