// A packed data set, opened: dataset.json and samples.bin. Format: docs/formats.md. Read next:
// sample_reader.h, splits.h, set_index.h.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data_shards/format/task.h"

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
  int64_t first_sample = 0;  // position of its first sample; the others follow
  std::string xxh3_128;
  std::string samples_xxh3_128;  // of the .samples.jsonl file
};

class SetIndex;

// Immutable after open(); shared by all threads. What is known of samples and shards stays in
// samples.bin, which is mapped: memory does not grow with the set. (Of a set that was packed before
// there was a samples.bin for all, its bytes are made in memory, about 150 a sample.)
// Requires: positions of samples in [0, size()), of shards in [0, num_shards()).
class Dataset {
 public:
  Dataset();
  ~Dataset();
  Dataset(const Dataset&) = delete;
  Dataset& operator=(const Dataset&) = delete;

  // Reads dataset.json; checks versions, the digest of samples.bin, counts and the sizes of the
  // shards. Neither the bytes of the shards nor the tables and indices beside them are read.
  // Errors: IoError, DataError ("DIR is not finished ...", "DIR/samples.bin: XXH3-128 is ...").
  static std::shared_ptr<const Dataset> open(const std::filesystem::path& directory);
  // The same, and every table and index beside the shards: digests, that they agree with each
  // other and with samples.bin, that members lie in their shards, labels, duplicate keys.
  // Errors: also DataError "DIR/x.idx:3: ..., but the sample table has ...".
  static std::shared_ptr<const Dataset> open_and_check_tables(
      const std::filesystem::path& directory);

  const std::filesystem::path& directory() const { return directory_; }
  Task task() const { return task_; }
  int64_t size() const;
  // A copy of all that is known of a sample; where one field will do, the functions below are
  // faster. Errors: DataError where samples.bin is damaged, names a member outside its shard, or
  // does not fit the classes.
  SampleRecord sample(int64_t index) const;
  std::string_view key(int64_t index) const;  // valid as long as the data set
  int32_t shard_of(int64_t index) const;
  int64_t class_index(int64_t index) const;  // kNoClass without one
  // Number of the member at `offset` of its shard among the num_members() of the set; -1 when the
  // sample has none there.
  int64_t member_number(int64_t index, int64_t offset) const;
  int64_t num_members() const;
  // Position of a key, or -1.
  int64_t find(std::string_view key) const;
  const std::vector<std::string>& classes() const { return classes_; }
  int64_t num_classes() const { return static_cast<int64_t>(classes_.size()); }
  // XXH3-128 of the class names in order; rides in checkpoints and prediction sets.
  const std::string& class_hash() const { return class_hash_; }
  // Extensions of the image members, sorted ("jpg" or "hr.jpg", "lr.jpg"). Where the formats of a
  // data set are mixed ("jpg", "png") each sample has one of those that differ in the last part
  // only.
  const std::vector<std::string>& image_members() const { return image_members_; }
  bool has_labels() const { return has_labels_; }
  int64_t num_shards() const;
  ShardInfo shard(int64_t number) const;
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
  std::unique_ptr<const SetIndex> index_;
  std::string digest_;
};

}  // namespace podium::data_shards
