// Maps a shard into memory and looks at every byte.
#include "data_shards/pack/verify_shard.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "data_shards/decode/inspect_image.h"
#include "data_shards/decode/mask.h"
#include "data_shards/format/dataset_files.h"
#include "data_shards/format/mapped_file.h"
#include "data_shards/format/tar_reader.h"
#include "data_shards/pack/pack_tars.h"

namespace podium::data_shards {
namespace {

// One member: checksum, and what its bytes say against what the table says.
void verify_member(const Dataset& dataset, const SampleRecord& sample, const MemberRecord& member,
                   std::string_view bytes) {
  if (const uint64_t found = xxh3_64(bytes); found != member.xxh3) {
    throw DataError(
        fmt::format("checksum {:016x}, expected {:016x}; copy the shard again, or "
                    "repack",
                    found, member.xxh3));
  }
  int32_t width = member.width;
  int32_t height = member.height;
  if (is_mask_extension(member.extension)) {
    const cv::Mat mask = decode_mask(bytes);
    width = mask.cols;
    height = mask.rows;
    if (count_mask_pixels(mask, dataset.num_classes()) != sample.mask_pixels) {
      throw DataError("the mask's pixel counts are not those of the sample table; repack");
    }
  } else if (is_image_extension(member.extension)) {
    const ImageInfo info = inspect_image(bytes);
    width = info.width;
    height = info.height;
  } else if (SampleRecord labels; read_label_member(member.extension, bytes, &labels)) {
    if (labels.class_index != sample.class_index || labels.class_vector != sample.class_vector) {
      throw DataError(fmt::format("label member \"{}\", but the sample table says \"{}\"; repack",
                                  bytes.substr(0, 80), label_member(sample).bytes.substr(0, 80)));
    }
  }
  if (width != member.width || height != member.height) {
    throw DataError(fmt::format("{} x {} px, but the sample table says {} x {}; repack", width,
                                height, member.width, member.height));
  }
}

void verify_sample(const Dataset& dataset, const SampleRecord& sample, std::string_view shard) {
  for (const MemberRecord& member : sample.members) {
    const auto offset = static_cast<size_t>(member.offset);
    with_context(fmt::format("{} (offset {})", member.extension, member.offset), [&] {
      verify_member(dataset, sample, member,
                    shard.substr(offset, static_cast<size_t>(member.size)));
    });
  }
}

// The archive's headers against the table.
void verify_headers(const std::filesystem::path& file, const std::vector<SampleRecord>& samples) {
  const auto members = list_tar(file);
  size_t next = 0;
  for (const SampleRecord& sample : samples) {
    for (const MemberRecord& record : sample.members) {
      const std::string name = member_name(sample, record);
      while (next < members.size() && !names_a_sample(members[next].name)) ++next;
      const TarMember found = next < members.size() ? members[next] : TarMember{};
      ++next;
      if (found.name == name && found.offset == record.offset && found.size == record.size) {
        continue;
      }
      throw DataError(fmt::format(
          "{}: member \"{}\" at offset {} with {} bytes, but the sample "
          "table has \"{}\" at {} with {}; repack",
          file.string(), found.name, found.offset, found.size, name, record.offset, record.size));
    }
  }
  while (next < members.size() && !names_a_sample(members[next].name)) ++next;
  if (next != members.size()) {
    throw DataError(fmt::format("{}: {} members, but the sample table has {} of them; repack",
                                file.string(), members.size(), next));
  }
}

}  // namespace

std::vector<BadSample> verify_shard(const Dataset& dataset, int64_t shard, int num_threads,
                                    bool stop_at_first, Progress* progress) {
  const ShardInfo info = dataset.shard(shard);
  const auto file = dataset.directory() / info.file;
  std::vector<SampleRecord> samples;
  for (int64_t i = 0; i < info.num_samples; ++i) {
    samples.push_back(dataset.sample(info.first_sample + i));
  }
  std::vector<BadSample> problems;
  try {
    verify_headers(file, samples);
  } catch (const DataError& error) {
    problems.push_back({"shard " + info.file, error.what()});
    if (stop_at_first) return problems;
  }
  const MappedFile mapped(file);
  std::vector<BadSample> bad(samples.size());
  parallel_for(std::ssize(samples), num_threads, [&](int64_t i) {
    const SampleRecord& sample = samples[static_cast<size_t>(i)];
    try {
      verify_sample(dataset, sample, mapped.bytes());
    } catch (const DataError& error) {
      bad[static_cast<size_t>(i)] = {fmt::format("shard {}: sample \"{}\"", info.file, sample.key),
                                     error.what()};
    }
    progress->advance();
  });
  for (BadSample& entry : bad) {
    if (!entry.reason.empty()) problems.push_back(std::move(entry));
  }
  if (problems.empty()) {
    if (const std::string found = xxh3_128_hex(mapped.bytes()); found != info.xxh3_128) {
      problems.push_back({"shard " + info.file,
                          fmt::format("XXH3-128 is {}, but dataset.json says {}; copy the shard "
                                      "again, or repack",
                                      found, info.xxh3_128)});
    }
  }
  if (stop_at_first && problems.size() > 1) problems.resize(1);
  return problems;
}

}  // namespace podium::data_shards
