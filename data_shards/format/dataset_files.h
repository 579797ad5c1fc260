// dataset.json and the sample tables as values: writing and parsing. Format: docs/formats.md. Read
// next: dataset.h, pack_shard.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data_shards/format/bad_sample.h"
#include "data_shards/format/dataset.h"

namespace podium::data_shards {

inline constexpr const char* kDatasetFile = "dataset.json";
inline constexpr int kDatasetVersion = 1;

// What dataset.json says.
struct DatasetDescription {
  Task task = Task::kMultiLabel;
  std::string layout;  // of the input that was packed
  std::vector<std::string> classes;
  std::string class_hash;
  bool has_labels = false;
  std::vector<std::string> image_members;
  int64_t num_samples = 0;
  std::vector<int64_t> label_histogram;  // (K) positives, samples or pixels; zeros without labels
  std::vector<int64_t> unknown_labels;   // (K) multi-label, else empty
  std::vector<BadSample> bad_samples;    // left out by the packer
  std::vector<ShardInfo> shards;
  std::string index_xxh3_128;  // of samples.bin; empty in sets that are older than it
};

// XXH3-128 of the class names, each followed by a line feed.
std::string hash_of_classes(const std::vector<std::string>& classes);

std::string description_to_json(const DatasetDescription& description);
// Errors: DataError "FILE: ..." for JSON that does not parse, another format or version, a missing
// entry.
// `skips_shards`: leaves `shards` empty where there is a samples.bin, which has them too.
DatasetDescription parse_description(std::string_view text, const std::string& file,
                                     bool skips_shards = false);

// Path of a shard's sample table: "data-000000.samples.jsonl".
std::filesystem::path sample_table_path(const std::filesystem::path& shard);

// One line a sample, each ended by a line feed.
std::string sample_table_text(const std::vector<SampleRecord>& samples);
// Errors: DataError "FILE:LINE: ...".
std::vector<SampleRecord> parse_sample_table(std::string_view text, const std::string& file);

// Adds a sample's labels to the counts of a description (num_samples, histogram, unknown labels).
void count_labels(const SampleRecord& sample, DatasetDescription* description);

// True for "jpg", "lr.png", "npy", ...; false for masks and labels.
bool is_image_extension(std::string_view extension);
// True for "mask.png" and "mask.npy".
bool is_mask_extension(std::string_view extension);
// Name of a member in the tar: its own, or STEM.EXTENSION.
std::string member_name(const SampleRecord& sample, const MemberRecord& member);

// The label member of a sample: {"cls", "3"}, {"json", "{\"labels\":[1,0,-1]}"}; empty strings
// without labels and for masks.
struct LabelMember {
  std::string extension;
  std::string bytes;
};
LabelMember label_member(const SampleRecord& sample);

}  // namespace podium::data_shards
