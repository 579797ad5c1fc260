// A shard's samples are prepared in parallel, a chunk at a time, and written in order.
#include "data_shards/pack_shard.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "data_shards/dataset_files.h"
#include "data_shards/pack_image.h"
#include "data_shards/shard_index.h"
#include "data_shards/tar_format.h"
#include "data_shards/tar_writer.h"

namespace podium::data_shards {
namespace {

constexpr int64_t kChunkBytes = int64_t{64} << 20;  // of files held in memory at a time
constexpr size_t kChunkSamples = 1024;
constexpr int kPackVersion = 1;  // raise when the bytes of shards change for equal input

// A sample that has been read and checked.
struct PreparedSample {
  SampleRecord record;
  std::vector<std::string> bytes;  // of each member
  std::vector<BadSample> bad;
};

int64_t bytes_of_files(const PackSample& sample) {
  int64_t total = 0;
  for (const PackFile& file : sample.files) total += file.size;
  return total;
}

// What the sample takes in the archive. The label member is estimated from above: its text has 4
// characters a label at most.
int64_t tar_bytes(const PackSample& sample) {
  int64_t total = 2 * kTarBlock + padded_tar_size(16 + 4 * std::ssize(sample.class_vector));
  for (const PackFile& file : sample.files) total += kTarBlock + padded_tar_size(file.size);
  return total;
}

void add_member(std::string extension, std::string bytes, int32_t width, int32_t height,
                PreparedSample* prepared) {
  MemberRecord member;
  member.extension = std::move(extension);
  member.size = static_cast<int64_t>(bytes.size());
  member.xxh3 = xxh3_64(bytes);
  member.width = width;
  member.height = height;
  prepared->record.members.push_back(std::move(member));
  prepared->bytes.push_back(std::move(bytes));
}

void add_mask(const PackPlan& plan, std::string bytes, PreparedSample* prepared) {
  cv::Mat mask = decode_mask(bytes);
  const MemberRecord& image = prepared->record.members.front();
  if (mask.cols != image.width || mask.rows != image.height) {
    throw DataError(
        fmt::format("the mask has {} x {} px, its image {} x {} px (width x height); "
                    "make them equal",
                    mask.cols, mask.rows, image.width, image.height));
  }
  if (plan.is_255_foreground) {
    bytes = encode_binary_mask(mask);
    mask = decode_mask(bytes);
  }
  prepared->record.mask_pixels = count_mask_pixels(mask, std::ssize(plan.classes));
  add_member(std::string(kMaskExtension), std::move(bytes), mask.cols, mask.rows, prepared);
}

void sort_members(PreparedSample* prepared) {
  std::vector<size_t> order(prepared->bytes.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto members = prepared->record.members;
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return members[a].extension < members[b].extension; });
  auto bytes = std::move(prepared->bytes);
  prepared->bytes.clear();
  for (size_t i = 0; i < order.size(); ++i) {
    prepared->record.members[i] = members[order[i]];
    prepared->bytes.push_back(std::move(bytes[order[i]]));
  }
}

void prepare(const PackPlan& plan, const PackSample& sample, PreparedSample* prepared) {
  SampleRecord& record = prepared->record;
  record.key = sample.key;
  record.group = sample.group;
  record.stem = sample.stem;
  record.class_vector = sample.class_vector;
  record.class_index = sample.class_index;
  for (const PackFile& file : sample.files) {
    std::string bytes = read_file(file.path);
    with_context(file.path.string(), [&] {
      if (file.role == "mask") {
        add_mask(plan, std::move(bytes), prepared);
        return;
      }
      const ImageInfo info = inspect_image(bytes);
      const std::string extension =
          file.role.empty() ? info.extension : file.role + "." + info.extension;
      add_member(extension, std::move(bytes), info.width, info.height, prepared);
    });
  }
  if (LabelMember label = label_member(record); !label.extension.empty()) {
    add_member(label.extension, std::move(label.bytes), 0, 0, prepared);
  }
  sort_members(prepared);
}

// The next samples that fit in memory together.
size_t end_of_chunk(const PackPlan& plan, size_t first, size_t last) {
  int64_t bytes = 0;
  size_t end = first;
  while (end < last && end - first < kChunkSamples && (end == first || bytes < kChunkBytes)) {
    bytes += bytes_of_files(plan.samples[end++]);
  }
  return end;
}

void write_sample(PreparedSample* prepared, TarWriter* writer, PackedShard* shard) {
  SampleRecord& record = prepared->record;
  for (size_t i = 0; i < record.members.size(); ++i) {
    MemberRecord& member = record.members[i];
    member.offset = writer->add(record.stem + "." + member.extension, prepared->bytes[i]);
  }
  shard->samples.push_back(std::move(record));
}

}  // namespace

std::vector<ShardRange> divide_into_shards(const PackPlan& plan, int64_t max_shard_bytes) {
  const int64_t limit = max_shard_bytes - kTarRecord;  // the archive's end and its filling
  std::vector<ShardRange> ranges;
  int64_t bytes = 0;
  for (size_t i = 0; i < plan.samples.size(); ++i) {
    const int64_t next = tar_bytes(plan.samples[i]);
    if (ranges.empty() || bytes + next > limit) {
      ranges.push_back({i, i});
      bytes = 0;
    }
    ranges.back().last = i + 1;
    bytes += next;
  }
  return ranges;
}

PackedShard write_shard(const PackPlan& plan, const PackOptions& options, ShardRange range,
                        const std::filesystem::path& file, Progress* progress) {
  const int num_threads = options.num_threads > 0 ? options.num_threads : available_cores();
  PackedShard shard;
  TarWriter writer(file);
  for (size_t first = range.first; first < range.last;) {
    const size_t end = end_of_chunk(plan, first, range.last);
    std::vector<PreparedSample> chunk(end - first);
    parallel_for(std::ssize(chunk), num_threads, [&](int64_t i) {
      const PackSample& sample = plan.samples[first + static_cast<size_t>(i)];
      PreparedSample& prepared = chunk[static_cast<size_t>(i)];
      is_good_sample(options, sample.place, &prepared.bad, [&] {
        with_context(sample.place, [&] { prepare(plan, sample, &prepared); });
      });
      progress->advance();
    });
    for (PreparedSample& prepared : chunk) {
      if (prepared.bad.empty()) write_sample(&prepared, &writer, &shard);
      std::move(prepared.bad.begin(), prepared.bad.end(), std::back_inserter(shard.bad_samples));
    }
    first = end;
  }
  writer.finish();
  const std::string table = sample_table_text(shard.samples);
  write_file_atomic(sample_table_path(file), table);
  write_file_atomic(shard_index_path(file), shard_index_text(shard.samples));
  shard.info.file = file.filename().string();
  shard.info.num_samples = std::ssize(shard.samples);
  shard.info.num_bytes = writer.num_bytes();
  shard.info.xxh3_128 = writer.xxh3_128();
  shard.info.samples_xxh3_128 = xxh3_128_hex(table);
  return shard;
}

std::string shard_input_digest(const PackPlan& plan, const PackOptions& options, ShardRange range) {
  Hasher hasher;
  // Each field ends with a byte that no text holds, so that moved borders change the digest.
  const auto add = [&](std::string_view text) {
    hasher.update(text);
    hasher.update(std::string_view("\0", 1));
  };
  const auto add_number = [&](int64_t number) { add(std::to_string(number)); };
  add_number(kPackVersion);
  add(layout_name(options.layout));
  add_number(options.skip_bad_samples);
  add_number(plan.is_255_foreground);
  for (const std::string& name : plan.classes) add(name);
  for (size_t i = range.first; i < range.last; ++i) {
    const PackSample& sample = plan.samples[i];
    add(sample.key);
    add(sample.group);
    add(sample.stem);
    add(sample.place);
    add_number(sample.class_index);
    for (float label : sample.class_vector) add_number(static_cast<int64_t>(label));
    for (const PackFile& file : sample.files) {
      add(file.role);
      add(file.path.string());
      add_number(file.size);
      add_number(file.mtime_ns);
    }
  }
  return hasher.hex();
}

}  // namespace podium::data_shards
