// The packer: plan, shards one after another, dataset.json, DONE. Read next: pack_plan.h,
// pack_shard.h, pack_work.h.
#include "data_shards/pack/pack.h"

#include <fmt/format.h>

#include <algorithm>
#include <opencv2/core/utility.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/progress.h"
#include "data_shards/format/dataset_files.h"
#include "data_shards/format/set_index.h"
#include "data_shards/format/set_index_writer.h"
#include "data_shards/format/shard_index.h"
#include "data_shards/format/tar_format.h"
#include "data_shards/pack/layout_table.h"
#include "data_shards/pack/pack_plan.h"
#include "data_shards/pack/pack_shard.h"
#include "data_shards/pack/pack_work.h"

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
  const ImageRewrite& rewrite = options.rewrite;
  if (rewrite.resize_width < 0 || rewrite.resize_height < 0 || rewrite.max_side < 0 ||
      (rewrite.resize_width > 0 && rewrite.max_side > 0)) {
    throw UsageError("--resize and --max_side are at least 1 px, and only one of them is given");
  }
  if (rewrite.jpeg_quality < 1 || rewrite.jpeg_quality > 100) {
    throw UsageError(fmt::format("--jpeg_quality={}: expected 1 to 100", rewrite.jpeg_quality));
  }
  if (rewrite.jpeg_restart_px < 0) {
    throw UsageError(
        fmt::format("--jpeg_restart_px={}: expected 0 (none) or the px between two "
                    "markers",
                    rewrite.jpeg_restart_px));
  }
  if (rewrite.jpeg_restart_px > 0 && rewrite.decode) {
    throw UsageError("--decode stores no JPEGs: --jpeg_restart_px does not go with it");
  }
  if (options.max_shard_bytes < 2 * kTarRecord) {
    throw UsageError(fmt::format("--max_shard_bytes is {}, but {} is the least",
                                 options.max_shard_bytes, 2 * kTarRecord));
  }
}

bool is_empty(const PackedShard& shard) { return shard.info.num_samples == 0; }

std::string shard_name(const PackOptions& options, size_t number) {
  return fmt::format("{}-{:06d}.tar", options.prefix, number);
}

std::vector<PackedShard> write_shards(const PackPlan& plan, const PackOptions& options,
                                      PackWork* work) {
  Progress progress("packing", plan.samples.size(), "samples");
  PreparedStream samples(plan, options, &progress);
  const auto digest_of = [&](ShardRange range) {
    range.last = std::min(range.last, plan.samples.size());
    return shard_input_digest(plan, options, range);
  };
  std::vector<PackedShard> shards;
  while (!samples.is_at_end()) {
    const size_t number = shards.size();
    const fs::path file = work->path() / shard_name(options, number);
    if (auto finished = work->find_finished(number, file, samples.position(), digest_of)) {
      samples.skip_to(finished->range.last);
      shards.push_back(std::move(*finished));
      continue;
    }
    shards.push_back(write_shard(options, file, &samples));
    work->note_finished(number, shards.back(), digest_of(shards.back().range));
  }
  progress.finish();
  if (samples.num_ignored_orientations() > 0) {
    log_warning(
        "{}: {} samples have images with an EXIF orientation, which training ignores; "
        "--exif=apply turns them",
        options.input.string(), samples.num_ignored_orientations());
  }
  return shards;
}

// Numbers the shards anew when one has no good sample, and removes what an earlier run left behind.
void tidy(const PackOptions& options, const PackWork& work, std::vector<PackedShard>* shards) {
  std::erase_if(*shards, is_empty);
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

// Counts the labels and writes samples.bin, from the tables of the shards, one after another.
DatasetDescription describe(const PackPlan& plan, const PackOptions& options,
                            const fs::path& folder, const std::vector<PackedShard>& shards) {
  DatasetDescription description;
  description.task = plan.task;
  description.layout = options.layout;
  description.classes = plan.classes;
  description.class_hash = hash_of_classes(plan.classes);
  description.has_labels = plan.has_labels;
  description.label_histogram.assign(plan.classes.size(), 0);
  if (plan.task == Task::kMultiLabel) description.unknown_labels.assign(plan.classes.size(), 0);
  description.bad_samples = plan.bad_samples;
  std::set<std::string> images;
  const fs::path index = folder / kSetIndexFile;
  const auto sink = make_file_sink(index);
  SetIndexWriter writer(sink.get(), index.string());
  for (const PackedShard& shard : shards) {
    description.shards.push_back(shard.info);
    const auto& bad = shard.bad_samples;
    description.bad_samples.insert(description.bad_samples.end(), bad.begin(), bad.end());
    const std::vector<SampleRecord> samples = read_table(folder / shard.info.file);
    for (const SampleRecord& sample : samples) {
      count_labels(sample, &description);
      for (const MemberRecord& member : sample.members) {
        if (is_image_extension(member.extension)) images.insert(member.extension);
      }
    }
    writer.add(shard.info, samples);
  }
  writer.finish();
  description.index_xxh3_128 = xxh3_128_hex_of_file(index);
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
  const LayoutRow& layout = layout_table().at(options.layout);
  check_options(options);
  cv::setNumThreads(1);  // the samples are what is done in parallel
  PackWork work(options.output, options.is_overwrite);
  PackPlan plan;
  std::vector<PackedShard> shards;
  if (layout.index != nullptr) {
    shards = layout.index(options, &work, &plan);
  } else {
    plan = make_plan(options);
    shards = write_shards(plan, options, &work);
  }
  if (std::all_of(shards.begin(), shards.end(), is_empty)) {
    std::vector<BadSample> bad;
    for (const PackedShard& shard : shards) {
      bad.insert(bad.end(), shard.bad_samples.begin(), shard.bad_samples.end());
    }
    const BadSample first = bad.empty() ? BadSample{"the tars", "no sample"} : bad.front();
    throw DataError(fmt::format("{}: all {} samples are bad, the first is {}: {}",
                                options.input.string(), bad.size(), first.place, first.reason));
  }
  work.remove_state();
  tidy(options, work, &shards);
  const DatasetDescription description = describe(plan, options, work.path(), shards);
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
