// The packer: plan, shards one after another, dataset.json, DONE. Read next: pack_plan.h,
// pack_shard.h, pack_work.h.
#include "data_shards/pack.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "data_shards/dataset_files.h"
#include "data_shards/pack_plan.h"
#include "data_shards/pack_shard.h"
#include "data_shards/pack_work.h"
#include "data_shards/shard_index.h"
#include "data_shards/tar_format.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;

void check_options(const PackOptions& options) {
  const bool is_prefix_good =
      !options.prefix.empty() &&
      std::all_of(options.prefix.begin(), options.prefix.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
      });
  if (!is_prefix_good) {
    throw UsageError(fmt::format("--prefix \"{}\": letters, digits, - and _ only", options.prefix));
  }
  if (options.output.empty()) throw UsageError("--output is empty; name the folder to write");
  if (options.max_shard_bytes < 2 * kTarRecord) {
    throw UsageError(fmt::format("--max_shard_bytes is {}, but {} is the least",
                                 options.max_shard_bytes, 2 * kTarRecord));
  }
}

std::string shard_name(const PackOptions& options, size_t number) {
  return fmt::format("{}-{:06d}.tar", options.prefix, number);
}

std::vector<PackedShard> write_shards(const PackPlan& plan, const PackOptions& options,
                                      PackWork* work) {
  const auto ranges = divide_into_shards(plan, options.max_shard_bytes);
  Progress progress("packing", plan.samples.size(), "samples");
  std::vector<PackedShard> shards;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const fs::path file = work->path() / shard_name(options, i);
    const std::string digest = shard_input_digest(plan, options, ranges[i]);
    if (auto finished = work->find_finished(i, file, digest)) {
      progress.advance(ranges[i].last - ranges[i].first);
      shards.push_back(std::move(*finished));
      continue;
    }
    shards.push_back(write_shard(plan, options, ranges[i], file, &progress));
    work->note_finished(i, shards.back(), digest);
  }
  progress.finish();
  return shards;
}

// Numbers the shards anew when one has no good sample, and removes what an earlier run left behind.
void tidy(const PackOptions& options, const PackWork& work, std::vector<PackedShard>* shards) {
  std::erase_if(*shards, [](const PackedShard& shard) { return shard.samples.empty(); });
  std::set<std::string> expected;
  for (size_t i = 0; i < shards->size(); ++i) {
    ShardInfo& info = (*shards)[i].info;
    const fs::path from = work.path() / info.file;
    info.file = shard_name(options, i);
    const fs::path to = work.path() / info.file;
    const std::vector<std::pair<fs::path, fs::path>> moves = {
        {from, to},
        {shard_index_path(from), shard_index_path(to)},
        {sample_table_path(from), sample_table_path(to)}};
    for (const auto& [old_name, new_name] : moves) {
      if (old_name != new_name) fs::rename(old_name, new_name);
      expected.insert(new_name.filename().string());
    }
  }
  std::vector<fs::path> others;
  for (const auto& entry : fs::directory_iterator(work.path())) {
    if (!expected.count(entry.path().filename().string())) others.push_back(entry.path());
  }
  for (const fs::path& other : others) fs::remove_all(other);
}

DatasetDescription describe(const PackPlan& plan, const PackOptions& options,
                            const std::vector<PackedShard>& shards) {
  DatasetDescription description;
  description.task = plan.task;
  description.layout = layout_name(options.layout);
  description.classes = plan.classes;
  description.class_hash = hash_of_classes(plan.classes);
  description.has_labels = plan.has_labels;
  description.label_histogram.assign(plan.classes.size(), 0);
  if (plan.task == Task::kMultiLabel) description.unknown_labels.assign(plan.classes.size(), 0);
  description.bad_samples = plan.bad_samples;
  std::set<std::string> images;
  for (const PackedShard& shard : shards) {
    description.shards.push_back(shard.info);
    const auto& bad = shard.bad_samples;
    description.bad_samples.insert(description.bad_samples.end(), bad.begin(), bad.end());
    for (const SampleRecord& sample : shard.samples) {
      count_labels(sample, &description);
      for (const MemberRecord& member : sample.members) {
        if (is_image_extension(member.extension)) images.insert(member.extension);
      }
    }
  }
  description.image_members.assign(images.begin(), images.end());
  return description;
}

void warn_of_empty_classes(const DatasetDescription& description, const PackOptions& options) {
  for (size_t k = 0; k < description.classes.size() && description.has_labels; ++k) {
    if (description.label_histogram[k] > 0) continue;
    log_warning("{}: class \"{}\" has no {}", options.input.string(), description.classes[k],
                description.task == Task::kSegmentation ? "pixel" : "positive sample");
  }
}

}  // namespace

PackResult pack(const PackOptions& options) {
  check_options(options);
  PackWork work(options.output, options.is_overwrite);
  const PackPlan plan = make_plan(options);
  std::vector<PackedShard> shards = write_shards(plan, options, &work);
  if (std::all_of(shards.begin(), shards.end(),
                  [](const PackedShard& shard) { return shard.samples.empty(); })) {
    throw DataError(fmt::format("{}: all {} samples are bad, the first is {}: {}",
                                options.input.string(), plan.samples.size(),
                                shards.front().bad_samples.front().place,
                                shards.front().bad_samples.front().reason));
  }
  work.remove_state();
  tidy(options, work, &shards);
  const DatasetDescription description = describe(plan, options, shards);
  warn_of_empty_classes(description, options);
  write_file_atomic(work.path() / kDatasetFile, description_to_json(description));
  work.commit();
  PackResult result;
  result.num_samples = description.num_samples;
  result.num_shards = std::ssize(description.shards);
  result.bad_samples = description.bad_samples;
  return result;
}

}  // namespace podium::data_shards
