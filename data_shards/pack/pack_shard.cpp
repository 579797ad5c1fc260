// Samples are taken from the stream in order until the next one would make the shard too large.
#include "data_shards/pack/pack_shard.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "data_shards/format/dataset_files.h"
#include "data_shards/format/shard_index.h"
#include "data_shards/format/tar_format.h"
#include "data_shards/format/tar_writer.h"

namespace podium::data_shards {
namespace {

constexpr int kPackVersion = 2;  // raise when the bytes of shards change for equal input

void write_sample(PreparedSample* prepared, TarWriter* writer, std::vector<SampleRecord>* samples) {
  SampleRecord& record = prepared->record;
  for (size_t i = 0; i < record.members.size(); ++i) {
    MemberRecord& member = record.members[i];
    member.offset = writer->add(record.stem + "." + member.extension, prepared->bytes[i]);
  }
  samples->push_back(std::move(record));
}

}  // namespace

PackedShard write_shard(const PackOptions& options, const std::filesystem::path& file,
                        PreparedStream* stream) {
  const int64_t limit = options.max_shard_bytes - kTarRecord;  // the archive's end and its filling
  PackedShard shard;
  std::vector<SampleRecord> samples;
  shard.range.first = stream->position();
  TarWriter writer(file);
  while (!stream->is_at_end()) {
    PreparedSample& next = stream->peek();
    const bool is_good = next.bad.empty();
    if (is_good && !samples.empty() && writer.num_bytes() + next.tar_bytes() > limit) break;
    if (is_good) write_sample(&next, &writer, &samples);
    std::move(next.bad.begin(), next.bad.end(), std::back_inserter(shard.bad_samples));
    stream->pop();
  }
  shard.range.last = stream->position();
  writer.finish();
  shard.info.num_bytes = writer.num_bytes();
  shard.info.xxh3_128 = writer.xxh3_128();
  write_tables(file, samples, &shard);
  return shard;
}

void write_tables(const std::filesystem::path& file, const std::vector<SampleRecord>& samples,
                  PackedShard* shard) {
  const std::string table = sample_table_text(samples);
  write_file_atomic(sample_table_path(file), table);
  write_file_atomic(shard_index_path(file), shard_index_text(samples));
  shard->info.file = file.filename().string();
  shard->info.num_samples = std::ssize(samples);
  shard->info.samples_xxh3_128 = xxh3_128_hex(table);
}

std::vector<SampleRecord> read_table(const std::filesystem::path& file) {
  const auto table = sample_table_path(file);
  return parse_sample_table(read_file(table), table.string());
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
  add(options.layout);
  add_number(options.skip_bad_samples);
  add_number(plan.is_255_foreground);
  const ImageRewrite& rewrite = options.rewrite;
  for (const int64_t value :
       {int64_t{rewrite.decode}, int64_t{rewrite.resize_width}, int64_t{rewrite.resize_height},
        int64_t{rewrite.max_side}, int64_t{rewrite.is_upright}, int64_t{rewrite.jpeg_quality},
        int64_t{rewrite.jpeg_restart_px}, options.max_shard_bytes,
        static_cast<int64_t>(options.rle_order), static_cast<int64_t>(options.overlap),
        static_cast<int64_t>(options.crowd)}) {
    add_number(value);
  }
  for (const std::string& name : plan.classes) add(name);
  // The sample behind the shard too: that it did not fit decided where the shard ends.
  const size_t end = std::min(range.last + 1, plan.samples.size());
  add_number(static_cast<int64_t>(range.last - range.first));
  for (size_t i = range.first; i < end; ++i) {
    const PackSample& sample = plan.samples[i];
    add(sample.key);
    add(sample.group);
    add(sample.stem);
    add(sample.place);
    add_number(sample.class_index);
    for (float label : sample.class_vector) add_number(static_cast<int64_t>(label));
    add(sample.mask_digest);
    for (const PackFile& file : sample.files) {
      add(file.role);
      add(file.path.string());
      add_number(file.size);
      add_number(file.mtime_ns);
      add_number(file.offset);
      add_number(file.length);
    }
  }
  return hasher.hex();
}

}  // namespace podium::data_shards
