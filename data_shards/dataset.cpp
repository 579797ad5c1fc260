// Opening of a packed data set, with every check that needs no shard bytes.
#include "data_shards/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "data_shards/dataset_files.h"
#include "data_shards/set_index.h"
#include "data_shards/shard_index.h"
#include "data_shards/tar_format.h"

namespace podium::data_shards {
namespace {

std::string read_checked(const std::filesystem::path& file, const std::string& expected_hash) {
  std::string text = read_file(file);
  if (const std::string found = xxh3_128_hex(text); found != expected_hash) {
    throw DataError(
        fmt::format("{}: XXH3-128 is {}, but dataset.json says {}; copy the data set "
                    "again, or repack",
                    file.string(), found, expected_hash));
  }
  return text;
}

void check_shard_size(const std::filesystem::path& file, int64_t expected) {
  std::error_code error;
  const auto found = std::filesystem::file_size(file, error);
  if (error) {
    throw IoError(fmt::format("cannot read shard {}: {}; copy the data set again, or repack",
                              file.string(), error.message()));
  }
  if (static_cast<int64_t>(found) != expected) {
    throw DataError(
        fmt::format("{}: {} bytes, but dataset.json says {}; copy the data set again, "
                    "or repack",
                    file.string(), found, expected));
  }
}

// Members lie inside the shard and on block boundaries, labels fit the data set's classes.
void check_sample(const SampleRecord& sample, const DatasetDescription& description,
                  const ShardInfo& shard, const std::string& place) {
  for (const MemberRecord& member : sample.members) {
    if (member.offset < kTarBlock || member.offset % kTarBlock != 0 || member.size < 0 ||
        member.offset + member.size > shard.num_bytes) {
      throw DataError(fmt::format(
          "{}: sample \"{}\": member {} at offset {} with {} bytes does not "
          "fit a shard of {} bytes; repack",
          place, sample.key, member.extension, member.offset, member.size, shard.num_bytes));
    }
  }
  const auto num_classes = static_cast<int64_t>(description.classes.size());
  const int64_t expected = description.has_labels ? num_classes : 0;
  int64_t found = expected;
  if (description.task == Task::kMultiLabel) {
    found = static_cast<int64_t>(sample.class_vector.size());
  } else if (description.task == Task::kSegmentation) {
    found = static_cast<int64_t>(sample.mask_pixels.size());
  } else if ((sample.class_index != kNoClass) != description.has_labels ||
             sample.class_index < kNoClass || sample.class_index >= num_classes) {
    throw DataError(
        fmt::format("{}: sample \"{}\" has class index {}, but the data set has {} "
                    "classes and {}; repack",
                    place, sample.key, sample.class_index, num_classes,
                    description.has_labels ? "labels" : "no labels"));
  }
  if (found != expected) {
    throw DataError(fmt::format("{}: sample \"{}\" needs {} labels, found {}; repack", place,
                                sample.key, expected, found));
  }
}

std::vector<SampleRecord> read_shard_table(const std::filesystem::path& directory,
                                           const DatasetDescription& description,
                                           size_t shard_index) {
  const ShardInfo& shard = description.shards[shard_index];
  const std::filesystem::path tar = directory / shard.file;
  check_shard_size(tar, shard.num_bytes);
  const auto table = sample_table_path(tar);
  auto samples = parse_sample_table(read_checked(table, shard.samples_xxh3_128), table.string());
  if (static_cast<int64_t>(samples.size()) != shard.num_samples) {
    throw DataError(fmt::format("{}: {} samples, but dataset.json says {}; repack", table.string(),
                                samples.size(), shard.num_samples));
  }
  // Compared line by line with the table, whose digest was checked: no digest of its own is needed.
  const auto index = shard_index_path(tar);
  const std::string index_text = read_file(index);
  check_shard_index(index_text, samples, index.string());
  for (size_t i = 0; i < samples.size(); ++i) {
    samples[i].shard = static_cast<int32_t>(shard_index);
    check_sample(samples[i], description, shard, fmt::format("{}:{}", table.string(), i + 1));
  }
  return samples;
}

}  // namespace

// Fills a Dataset; the only writer of its members.
class DatasetLoader {
 public:
  static std::shared_ptr<const Dataset> load(const std::filesystem::path& directory,
                                             bool checks_tables) {
    std::error_code error;
    if (!std::filesystem::is_directory(directory, error)) {
      throw IoError(
          fmt::format("no data set at {}: not a folder; give the folder that podium pack "
                      "wrote",
                      directory.string()));
    }
    require_done(directory, "run podium pack again; it goes on where it stopped");
    auto dataset = std::make_shared<Dataset>();
    dataset->directory_ = directory;
    const auto file = directory / kDatasetFile;
    const std::string text = read_file(file);
    dataset->digest_ = xxh3_128_hex(text);
    DatasetDescription description = parse_description(text, file.string(), !checks_tables);
    if (hash_of_classes(description.classes) != description.class_hash) {
      throw DataError(file.string() + ": class_hash does not fit the classes; repack");
    }
    if (checks_tables || description.index_xxh3_128.empty()) {
      load_samples(description, dataset.get());
      if (!description.index_xxh3_128.empty()) compare_index(description, *dataset);
    } else {
      load_index(&description, dataset.get());
    }
    check_number(description, *dataset);
    index_keys(dataset.get());
    dataset->task_ = description.task;
    dataset->classes_ = std::move(description.classes);
    dataset->class_hash_ = std::move(description.class_hash);
    dataset->image_members_ = std::move(description.image_members);
    dataset->has_labels_ = description.has_labels;
    dataset->shards_ = std::move(description.shards);
    return dataset;
  }

 private:
  static void load_samples(const DatasetDescription& description, Dataset* dataset) {
    std::vector<std::vector<SampleRecord>> tables(description.shards.size());
    parallel_for(static_cast<int64_t>(tables.size()), available_cores(), [&](int64_t i) {
      const auto shard = static_cast<size_t>(i);
      tables[shard] = read_shard_table(dataset->directory_, description, shard);
    });
    dataset->samples_.reserve(static_cast<size_t>(std::max<int64_t>(description.num_samples, 0)));
    for (auto& table : tables) {
      std::move(table.begin(), table.end(), std::back_inserter(dataset->samples_));
    }
  }

  static void check_number(const DatasetDescription& description, const Dataset& dataset) {
    if (dataset.size() == description.num_samples && dataset.size() > 0) return;
    throw DataError(fmt::format("{}: num_samples is {}, but the shards hold {}; repack",
                                (dataset.directory_ / kDatasetFile).string(),
                                description.num_samples, dataset.size()));
  }

  static void load_index(DatasetDescription* description, Dataset* dataset) {
    const auto file = dataset->directory_ / kSetIndexFile;
    SetIndex index =
        parse_set_index(read_checked(file, description->index_xxh3_128), file.string());
    description->shards = std::move(index.shards);
    dataset->samples_ = std::move(index.samples);
    const auto& shards = description->shards;
    parallel_for(std::ssize(shards), available_cores(), [&](int64_t i) {
      const ShardInfo& shard = shards[static_cast<size_t>(i)];
      check_shard_size(dataset->directory_ / shard.file, shard.num_bytes);
    });
    for (const SampleRecord& sample : dataset->samples_) {
      check_sample(sample, *description, shards[static_cast<size_t>(sample.shard)], file.string());
    }
  }

  static void compare_index(const DatasetDescription& description, const Dataset& dataset) {
    const auto file = dataset.directory_ / kSetIndexFile;
    if (read_checked(file, description.index_xxh3_128) ==
        set_index_bytes(description.shards, dataset.samples_)) {
      return;
    }
    throw DataError(file.string() + " differs from the sample tables; repack");
  }

  static void index_keys(Dataset* dataset) {
    auto& by_key = dataset->by_key_;
    by_key.resize(dataset->samples_.size());
    std::iota(by_key.begin(), by_key.end(), int64_t{0});
    std::sort(by_key.begin(), by_key.end(), [&](int64_t a, int64_t b) {
      const int order = dataset->sample(a).key.compare(dataset->sample(b).key);
      return order != 0 ? order < 0 : a < b;
    });
    for (size_t i = 1; i < by_key.size(); ++i) {
      const std::string& key = dataset->sample(by_key[i]).key;
      if (key == dataset->sample(by_key[i - 1]).key) {
        throw DataError(fmt::format("{}: key \"{}\" belongs to samples {} and {}; repack",
                                    dataset->directory_.string(), key, by_key[i - 1], by_key[i]));
      }
    }
  }
};

std::shared_ptr<const Dataset> Dataset::open(const std::filesystem::path& directory) {
  return DatasetLoader::load(directory, false);
}

std::shared_ptr<const Dataset> Dataset::open_and_check_tables(
    const std::filesystem::path& directory) {
  return DatasetLoader::load(directory, true);
}

int64_t Dataset::find(const std::string& key) const {
  const auto found =
      std::lower_bound(by_key_.begin(), by_key_.end(), key,
                       [&](int64_t index, const std::string& k) { return sample(index).key < k; });
  return found != by_key_.end() && sample(*found).key == key ? *found : -1;
}

}  // namespace podium::data_shards
