// A packed data set, opened: dataset.json, the shards' sample tables and byte readers. Format:
// docs/formats.md. Read next: sample_reader.h, splits.h.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data_shards/sample.h"

namespace podium::data_shards {

// One member (file) of a sample inside its shard.
struct MemberRecord {
  std::string extension;  // "jpg", "lr.jpg", "mask.png", "cls", "json"
  std::string name;    // in the tar; empty: STEM.EXTENSION (always so in shards that pack writes)
  int64_t offset = 0;  // of the first data byte in the tar
  int64_t size = 0;    // bytes
  uint64_t xxh3 = 0;   // XXH3-64 of the bytes
  int32_t width = 0;   // px; images and masks only, else 0
  int32_t height = 0;  // px
};

// One sample as the table beside its shard describes it.
struct SampleRecord {
  std::string key;
  std::string group;  // samples of one group never separate in a split; the key when there is none
  std::string stem;   // of its files in the tar ("STEM.jpg"): the key with what tar names cannot
                      // hold replaced
  int32_t shard = 0;
  std::vector<MemberRecord> members;
  std::vector<float> class_vector;  // multi-label; empty without labels
  int64_t class_index = kNoClass;   // single label
  std::vector<int64_t>
      mask_pixels;  // segmentation: pixels of each class in the mask; empty without labels
};

struct ShardInfo {
  std::string file;  // "train-000000.tar", relative to the data set
  int64_t num_samples = 0;
  int64_t num_bytes = 0;
  std::string xxh3_128;
  std::string samples_xxh3_128;  // of the .samples.jsonl file
};

// Immutable after open(); shared by all threads.
class Dataset {
 public:
  // Reads dataset.json, every index and sample table; checks versions, digests of the tables, shard
  // sizes, that index and table agree, counts and duplicate keys. The bytes of the shards are not
  // read. Errors: IoError, DataError ("DIR is not finished ...", "DIR/x.idx: 12 samples, but
  // dataset.json says 13; repack").
  // Of a set with many shards samples.bin is read instead of the tables and indices.
  static std::shared_ptr<const Dataset> open(const std::filesystem::path& directory);
  // The same from the tables and indices in any case, and samples.bin compared with them.
  static std::shared_ptr<const Dataset> open_and_check_tables(
      const std::filesystem::path& directory);

  const std::filesystem::path& directory() const { return directory_; }
  Task task() const { return task_; }
  int64_t size() const { return static_cast<int64_t>(samples_.size()); }
  const SampleRecord& sample(int64_t index) const { return samples_[static_cast<size_t>(index)]; }
  // Position of a key, or -1.
  int64_t find(const std::string& key) const;
  const std::vector<std::string>& classes() const { return classes_; }
  int64_t num_classes() const { return static_cast<int64_t>(classes_.size()); }
  // XXH3-128 of the class names in order; rides in checkpoints and prediction sets.
  const std::string& class_hash() const { return class_hash_; }
  // Extensions of the image members, sorted ("jpg" or "hr.jpg", "lr.jpg"). Where the formats of a
  // data set are mixed ("jpg", "png") each sample has one of those that differ in the last part
  // only.
  const std::vector<std::string>& image_members() const { return image_members_; }
  bool has_labels() const { return has_labels_; }
  const std::vector<ShardInfo>& shards() const { return shards_; }
  // XXH3-128 of dataset.json: the identity of the data in a manifest.
  const std::string& digest() const { return digest_; }

 private:
  friend class DatasetLoader;
  std::filesystem::path directory_;
  Task task_ = Task::kMultiLabel;
  std::vector<std::string> classes_;
  std::string class_hash_;
  std::vector<std::string> image_members_;
  bool has_labels_ = false;
  std::vector<ShardInfo> shards_;
  std::vector<SampleRecord> samples_;
  std::vector<int64_t> by_key_;  // positions sorted by key
  std::string digest_;
};

}  // namespace podium::data_shards
