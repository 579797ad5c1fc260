// Opening of a packed data set, with every check that needs no shard bytes.
#include "data_shards/format/dataset.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "data_shards/format/dataset_files.h"
#include "data_shards/format/mapped_file.h"
#include "data_shards/format/set_index.h"
#include "data_shards/format/set_index_layout.h"
#include "data_shards/format/set_index_writer.h"
#include "data_shards/format/shard_index.h"
#include "data_shards/format/tar_format.h"

namespace podium::data_shards {
namespace {

DataError other_digest(const std::filesystem::path& file, const std::string& found,
                       const std::string& expected) {
  return DataError(fmt::format(
      "{}: XXH3-128 is {}, but dataset.json says {}; copy the data set again, or repack",
      file.string(), found, expected));
}

std::string read_checked(const std::filesystem::path& file, const std::string& expected_hash) {
  std::string text = read_file(file);
  const std::string found = xxh3_128_hex(text);
  if (found != expected_hash) throw other_digest(file, found, expected_hash);
  return text;
}

// Looks up files of one folder: of 100,000 shards the way from the root takes longer than the rest.
class Folder {
 public:
  explicit Folder(const std::filesystem::path& path)
      : path_(path), descriptor_(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
    if (descriptor_ < 0) {
      throw IoError(fmt::format("cannot open {}: {}; check its permissions", path.string(),
                                std::strerror(errno)));
    }
  }
  ~Folder() { ::close(descriptor_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  void check_shard_size(const std::string& file, int64_t expected) const {
    struct stat status {};
    if (::fstatat(descriptor_, file.c_str(), &status, 0) != 0) {
      throw IoError(fmt::format("cannot read shard {}: {}; copy the data set again, or repack",
                                (path_ / file).string(), std::strerror(errno)));
    }
    if (status.st_size != expected) {
      throw DataError(
          fmt::format("{}: {} bytes, but dataset.json says {}; copy the data set again, or repack",
                      (path_ / file).string(), status.st_size, expected));
    }
  }

 private:
  std::filesystem::path path_;
  int descriptor_;
};

// What a sample's label has to be.
struct LabelRule {
  Task task;
  int64_t num_classes;
  bool has_labels;
};

// What is wrong with a sample, to follow its name, or nothing: members lie inside the shard and on
// block boundaries, labels fit the data set's classes.
std::string problem_of(const SampleRecord& sample, const LabelRule& rule, int64_t shard_bytes) {
  for (const MemberRecord& member : sample.members) {
    if (member.offset < kTarBlock || member.offset % kTarBlock != 0 || member.size < 0 ||
        member.offset > shard_bytes || member.size > shard_bytes - member.offset) {
      return fmt::format(": member {} at offset {} with {} bytes does not fit a shard of {} bytes",
                         member.extension, member.offset, member.size, shard_bytes);
    }
  }
  const int64_t expected = rule.has_labels ? rule.num_classes : 0;
  int64_t found = expected;
  if (rule.task == Task::kMultiLabel) {
    found = static_cast<int64_t>(sample.class_vector.size());
  } else if (rule.task == Task::kSegmentation) {
    found = static_cast<int64_t>(sample.mask_pixels.size());
  } else if ((sample.class_index != kNoClass) != rule.has_labels || sample.class_index < kNoClass ||
             sample.class_index >= rule.num_classes) {
    return fmt::format(" has class index {}, but the data set has {} classes and {}",
                       sample.class_index, rule.num_classes,
                       rule.has_labels ? "labels" : "no labels");
  }
  if (found == expected) return {};
  return fmt::format(" needs {} labels, found {}", expected, found);
}

void check_sample(const SampleRecord& sample, const LabelRule& rule, int64_t shard_bytes,
                  const std::function<std::string()>& place) {
  const std::string problem = problem_of(sample, rule, shard_bytes);
  if (problem.empty()) return;
  throw DataError(fmt::format("{}: sample \"{}\"{}; repack", place(), sample.key, problem));
}

std::vector<SampleRecord> read_shard_table(const std::filesystem::path& directory,
                                           const DatasetDescription& description,
                                           size_t shard_index) {
  const ShardInfo& shard = description.shards[shard_index];
  const std::filesystem::path tar = directory / shard.file;
  Folder(directory).check_shard_size(shard.file, shard.num_bytes);
  const auto table = sample_table_path(tar);
  auto samples = parse_sample_table(read_checked(table, shard.samples_xxh3_128), table.string());
  if (static_cast<int64_t>(samples.size()) != shard.num_samples) {
    throw DataError(fmt::format("{}: {} samples, but dataset.json says {}; repack", table.string(),
                                samples.size(), shard.num_samples));
  }
  const LabelRule rule{description.task, static_cast<int64_t>(description.classes.size()),
                       description.has_labels};
  // Compared line by line with the table, whose digest was checked: no digest of its own is needed.
  const auto index = shard_index_path(tar);
  const std::string index_text = read_file(index);
  check_shard_index(index_text, samples, index.string());
  for (size_t i = 0; i < samples.size(); ++i) {
    check_sample(samples[i], rule, shard.num_bytes,
                 [&] { return fmt::format("{}:{}", table.string(), i + 1); });
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
    const bool uses_index = !checks_tables && !has_old_index(directory);
    DatasetDescription description = read_description(uses_index, dataset.get());
    if (hash_of_classes(description.classes) != description.class_hash) {
      throw DataError((directory / kDatasetFile).string() +
                      ": class_hash does not fit the classes; repack");
    }
    if (uses_index && !description.index_xxh3_128.empty()) {
      open_index(description, dataset.get());
    } else {
      read_tables(description, dataset.get());
    }
    check_number(description, *dataset);
    dataset->task_ = description.task;
    dataset->classes_ = std::move(description.classes);
    dataset->class_hash_ = std::move(description.class_hash);
    dataset->image_members_ = std::move(description.image_members);
    dataset->has_labels_ = description.has_labels;
    return dataset;
  }

 private:
  // Sets of many shards were packed with another samples.bin before; their tables say the same.
  static bool has_old_index(const std::filesystem::path& directory) {
    std::ifstream stream(directory / kSetIndexFile, std::ios::binary);
    std::string magic(set_index_layout::kOldMagic.size(), '\0');
    return stream.read(magic.data(), std::ssize(magic)) && magic == set_index_layout::kOldMagic;
  }

  static DatasetDescription read_description(bool uses_index, Dataset* dataset) {
    const auto file = dataset->directory_ / kDatasetFile;
    const MappedFile mapped(file);  // of 100,000 shards it has 20 MB
    dataset->digest_ = xxh3_128_hex(mapped.bytes());
    return parse_description(mapped.bytes(), file.string(), uses_index);
  }

  static void check_index_digest(const std::filesystem::path& file,
                                 const DatasetDescription& description) {
    if (const std::string found = xxh3_128_hex_of_file(file); found != description.index_xxh3_128) {
      throw other_digest(file, found, description.index_xxh3_128);
    }
  }

  static void open_index(const DatasetDescription& description, Dataset* dataset) {
    const auto file = dataset->directory_ / kSetIndexFile;
    check_index_digest(file, description);
    dataset->index_ = std::make_unique<const SetIndex>(file);
    const SetIndex& index = *dataset->index_;
    const Folder folder(dataset->directory_);
    parallel_for(index.num_shards(), available_cores(), [&](int64_t i) {
      folder.check_shard_size(std::string(index.shard_file(i)), index.shard_bytes(i));
    });
  }

  // Makes samples.bin from the tables: in memory, or to compare it with the one that is there.
  static void read_tables(const DatasetDescription& description, Dataset* dataset) {
    const auto file = dataset->directory_ / kSetIndexFile;
    const bool has_index =
        !description.index_xxh3_128.empty() && !has_old_index(dataset->directory_);
    if (has_index) {
      check_index_digest(file, description);
      const MappedFile mapped(file);
      const auto sink = make_comparing_sink(mapped.bytes(), file.string());
      write_index(description, *dataset, sink.get());
      dataset->index_ = std::make_unique<const SetIndex>(file);
    } else {
      MemorySink sink;
      write_index(description, *dataset, &sink);
      dataset->index_ = std::make_unique<const SetIndex>(sink.take(), dataset->directory_.string());
    }
  }

  static void write_index(const DatasetDescription& description, const Dataset& dataset,
                          IndexSink* sink) {
    SetIndexWriter writer(sink, dataset.directory_.string());
    const auto& shards = description.shards;
    const int num_threads = available_cores();
    // So many tables at once, so that not all of a large set are held.
    std::vector<std::vector<SampleRecord>> tables(4 * static_cast<size_t>(num_threads));
    for (size_t first = 0; first < shards.size(); first += tables.size()) {
      const size_t count = std::min(tables.size(), shards.size() - first);
      parallel_for(static_cast<int64_t>(count), num_threads, [&](int64_t i) {
        const auto number = static_cast<size_t>(i);
        tables[number] = read_shard_table(dataset.directory_, description, first + number);
      });
      for (size_t i = 0; i < count; ++i) writer.add(shards[first + i], tables[i]);
    }
    writer.finish();
  }

  static void check_number(const DatasetDescription& description, const Dataset& dataset) {
    if (dataset.size() == description.num_samples && dataset.size() > 0) return;
    throw DataError(fmt::format("{}: num_samples is {}, but the shards hold {}; repack",
                                (dataset.directory_ / kDatasetFile).string(),
                                description.num_samples, dataset.size()));
  }
};

Dataset::Dataset() = default;
Dataset::~Dataset() = default;

std::shared_ptr<const Dataset> Dataset::open(const std::filesystem::path& directory) {
  return DatasetLoader::load(directory, false);
}

std::shared_ptr<const Dataset> Dataset::open_and_check_tables(
    const std::filesystem::path& directory) {
  return DatasetLoader::load(directory, true);
}

int64_t Dataset::size() const { return index_->num_samples(); }
int64_t Dataset::num_members() const { return index_->num_members(); }
int64_t Dataset::num_shards() const { return index_->num_shards(); }
ShardInfo Dataset::shard(int64_t number) const { return index_->shard(number); }
std::string_view Dataset::key(int64_t index) const { return index_->key(index); }
int32_t Dataset::shard_of(int64_t index) const { return index_->shard_of(index); }
int64_t Dataset::class_index(int64_t index) const { return index_->class_index(index); }
int64_t Dataset::member_number(int64_t index, int64_t offset) const {
  return index_->member_number(index, offset);
}
int64_t Dataset::find(std::string_view key) const { return index_->find(key); }

SampleRecord Dataset::sample(int64_t index) const {
  SampleRecord sample = index_->sample(index);
  check_sample(sample, {task_, num_classes(), has_labels_}, index_->shard_bytes(sample.shard),
               [&] { return (directory_ / kSetIndexFile).string(); });
  return sample;
}

}  // namespace podium::data_shards
