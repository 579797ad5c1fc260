// Sets that have an index, but whose shards hold nothing: for opening sets of any size.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "data_shards/format/dataset.h"
#include "data_shards/format/dataset_files.h"
#include "data_shards/format/set_index.h"
#include "data_shards/format/set_index_writer.h"

namespace podium::data_shards {

inline SampleRecord synthetic_sample(int64_t shard, int64_t number) {
  SampleRecord sample;
  sample.key = sample.stem = sample.group = fmt::format("train/{:06d}_{:07d}", shard, number);
  sample.class_index = number % 2;
  sample.members = {{"cls", "", 512 + 2048 * number, 1, 1, 0, 0},
                    {"jpg", "", 1536 + 2048 * number, 500, 2, 256, 256}};
  return sample;
}

// A finished set in `folder`. The shards are links to one empty file of the right size.
inline void write_synthetic_set(const std::filesystem::path& folder, int64_t num_shards,
                                int64_t samples_per_shard) {
  namespace fs = std::filesystem;
  fs::create_directories(folder);
  const int64_t num_bytes = 2048 * samples_per_shard + 10240;
  std::ofstream(folder / "one.bin", std::ios::binary).put('\0');
  fs::resize_file(folder / "one.bin", static_cast<uintmax_t>(num_bytes));
  DatasetDescription description;
  description.task = Task::kSingleLabel;
  description.layout = "webdataset";
  description.classes = {"a", "b"};
  description.class_hash = hash_of_classes(description.classes);
  description.has_labels = true;
  description.image_members = {"jpg"};
  description.label_histogram = {0, 0};
  const auto sink = make_file_sink(folder / kSetIndexFile);
  SetIndexWriter writer(sink.get(), "synthetic");
  for (int64_t i = 0; i < num_shards; ++i) {
    std::vector<SampleRecord> samples;
    for (int64_t k = 0; k < samples_per_shard; ++k) {
      samples.push_back(synthetic_sample(i, k));
      count_labels(samples.back(), &description);
    }
    ShardInfo shard;
    shard.file = fmt::format("data-{:06d}.tar", i);
    shard.num_samples = samples_per_shard;
    shard.num_bytes = num_bytes;
    shard.xxh3_128 = shard.samples_xxh3_128 = std::string(32, '0');
    fs::create_symlink("one.bin", folder / shard.file);
    writer.add(shard, samples);
    description.shards.push_back(std::move(shard));
  }
  writer.finish();
  description.index_xxh3_128 = xxh3_128_hex_of_file(folder / kSetIndexFile);
  write_file_atomic(folder / kDatasetFile, description_to_json(description));
  mark_done(folder);
}

// Bytes of this process in memory: "RssAnon" (its own), "VmRSS" (with the pages of mapped files).
inline int64_t process_bytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(name + ":", 0) == 0) return std::stoll(line.substr(name.size() + 1)) * 1024;
  }
  return -1;
}

}  // namespace podium::data_shards
