// Grouping of members into samples, their checks, and the links to the tars.
#include "data_shards/pack/pack_tars.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/text.h"
#include "data_shards/decode/inspect_image.h"
#include "data_shards/decode/mask.h"
#include "data_shards/format/dataset_files.h"
#include "data_shards/format/mapped_file.h"
#include "data_shards/format/tar_reader.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kIndexVersion = 1;  // raise when equal tars give other tables

// Name up to the first dot of its last part, and what follows.
struct NameParts {
  std::string base;
  std::string extension;
};

NameParts divide_name(const std::string& name) {
  const size_t last_part = name.rfind('/') + 1;
  const size_t dot = name.find('.', last_part);
  return {name.substr(0, dot), name.substr(dot + 1)};
}

// The extension as the tables have it: small letters, one name for each image format, the mask by
// its own name.
std::string table_extension(const std::string& in_tar, const PackOptions& options) {
  std::string extension = lower(in_tar);
  if (extension == options.mask_member) {
    return extension.substr(extension.rfind('.') + 1) == "npy" ? "mask.npy" : "mask.png";
  }
  const auto ends_with = [&](const std::string& end) {
    return extension == end ||
           (extension.size() > end.size() && extension.compare(extension.size() - end.size() - 1,
                                                               std::string::npos, "." + end) == 0);
  };
  if (ends_with("jpeg")) extension.replace(extension.size() - 4, 4, "jpg");
  if (ends_with("tiff")) extension.pop_back();
  return extension;
}

std::vector<fs::path> list_tars(const fs::path& input) {
  if (!fs::is_directory(input)) return {input};
  std::vector<fs::path> tars;
  for (const auto& entry : fs::directory_iterator(input)) {
    if (entry.path().extension() == ".tar") tars.push_back(entry.path());
  }
  std::sort(tars.begin(), tars.end());
  if (tars.empty()) throw DataError(input.string() + ": no .tar in this folder; check --input");
  return tars;
}

std::vector<SampleRecord> group_members(const fs::path& tar, const PackOptions& options) {
  std::vector<SampleRecord> samples;
  std::string base;
  for (const TarMember& found : list_tar(tar)) {
    if (!names_a_sample(found.name)) continue;
    NameParts parts = divide_name(found.name);
    if (samples.empty() || parts.base != base) {
      base = parts.base;
      SampleRecord sample;
      sample.key = base.rfind("./", 0) == 0 ? base.substr(2) : base;
      sample.group = sample.key;
      sample.stem = base;
      samples.push_back(std::move(sample));
    }
    MemberRecord member;
    member.extension = table_extension(parts.extension, options);
    if (member.extension != parts.extension) member.name = found.name;
    member.offset = found.offset;
    member.size = found.size;
    auto& members = samples.back().members;
    const bool is_twice = std::any_of(members.begin(), members.end(), [&](const MemberRecord& m) {
      return m.extension == member.extension;
    });
    if (is_twice) {
      throw DataError(
          fmt::format("{}: offset {}: sample \"{}\" has \"{}\" twice; write the tar again",
                      tar.string(), found.offset, samples.back().key, member.extension));
    }
    members.push_back(std::move(member));
  }
  return samples;
}

// Reads what the members say: sizes of images, labels, pixels of the mask's classes.
void inspect_sample(const PackOptions& options, std::string_view tar, SampleRecord* sample) {
  const int64_t num_classes = options.classes.empty() ? 2 : std::ssize(options.classes);
  for (MemberRecord& member : sample->members) {
    const std::string_view bytes =
        tar.substr(static_cast<size_t>(member.offset), static_cast<size_t>(member.size));
    member.xxh3 = xxh3_64(bytes);
    with_context(fmt::format("{} (offset {})", member.extension, member.offset), [&] {
      if (is_mask_extension(member.extension)) {
        const cv::Mat mask = decode_mask(bytes);
        sample->mask_pixels = count_mask_pixels(mask, num_classes);
        member.width = mask.cols;
        member.height = mask.rows;
      } else if (is_image_extension(member.extension)) {
        const ImageInfo info = inspect_image(bytes);
        member.width = info.width;
        member.height = info.height;
      } else {
        read_label_member(member.extension, bytes, sample);
      }
    });
  }
  const bool has_image =
      std::any_of(sample->members.begin(), sample->members.end(),
                  [](const MemberRecord& m) { return is_image_extension(m.extension); });
  if (!has_image) {
    throw DataError("no image (jpg, jpeg, png, webp, tif, tiff, npy) among its members");
  }
}

PackedShard index_tar(const PackOptions& options, const fs::path& tar, const fs::path& link,
                      Progress* progress) {
  PackedShard shard;
  std::vector<SampleRecord> samples = group_members(tar, options);
  const MappedFile mapped(tar);
  std::vector<std::vector<BadSample>> bad(samples.size());
  const int num_threads = options.num_threads > 0 ? options.num_threads : available_cores();
  parallel_for(std::ssize(samples), num_threads, [&](int64_t i) {
    SampleRecord& sample = samples[static_cast<size_t>(i)];
    const std::string place = fmt::format("{}: sample \"{}\"", tar.string(), sample.key);
    is_good_sample(options, place, &bad[static_cast<size_t>(i)], [&] {
      with_context(place, [&] { inspect_sample(options, mapped.bytes(), &sample); });
    });
  });
  std::vector<SampleRecord> good;
  for (size_t i = 0; i < samples.size(); ++i) {
    if (bad[i].empty()) good.push_back(std::move(samples[i]));
    std::move(bad[i].begin(), bad[i].end(), std::back_inserter(shard.bad_samples));
  }
  std::error_code error;
  fs::remove(link, error);
  fs::create_symlink(fs::canonical(tar), link, error);
  if (error) {
    throw IoError(fmt::format("cannot link {} to {}: {}; choose another --output", link.string(),
                              tar.string(), error.message()));
  }
  shard.info.num_bytes = static_cast<int64_t>(mapped.bytes().size());
  shard.info.xxh3_128 = xxh3_128_hex(mapped.bytes());
  write_tables(link, good, &shard);
  progress->advance();
  return shard;
}

std::string input_digest(const PackOptions& options, const fs::path& tar) {
  Hasher hasher;
  hasher.update(fmt::format("{} {} {} {} {} {}", kIndexVersion, fs::canonical(tar).string(),
                            fs::file_size(tar), fs::last_write_time(tar).time_since_epoch().count(),
                            options.skip_bad_samples, options.mask_member));
  for (const std::string& name : options.classes) hasher.update("\n" + name);
  return hasher.hex();
}

enum class LabelKind { kNone, kClass, kVector, kMask };

LabelKind kind_of(const SampleRecord& sample) {
  if (!sample.mask_pixels.empty()) return LabelKind::kMask;
  if (!sample.class_vector.empty()) return LabelKind::kVector;
  return sample.class_index == kNoClass ? LabelKind::kNone : LabelKind::kClass;
}

// Task, classes and whether there are labels, from all samples.
void describe_labels(const PackOptions& options, const fs::path& folder,
                     const std::vector<PackedShard>& shards, PackPlan* plan) {
  std::optional<SampleRecord> first;
  int64_t num_classes = 0;
  std::unordered_set<std::string> keys;
  for (const PackedShard& shard : shards) {
    for (const SampleRecord& sample : read_table(folder / shard.info.file)) {
      const std::string place = fmt::format("{}: sample \"{}\"", shard.info.file, sample.key);
      if (!keys.insert(sample.key).second) {
        throw DataError(place + ": this key comes twice; keys must be unique in a data set");
      }
      if (!first) first = sample;
      if (kind_of(sample) != kind_of(*first) ||
          sample.class_vector.size() != first->class_vector.size()) {
        throw DataError(
            fmt::format("{}: its labels are of another kind or number than those of "
                        "sample \"{}\"; all need the same",
                        place, first->key));
      }
      num_classes = std::max(num_classes, sample.class_index + 1);
      if (!options.classes.empty() && sample.class_index >= std::ssize(options.classes)) {
        throw DataError(fmt::format("{}: class index {}, but {} --classes are given", place,
                                    sample.class_index, options.classes.size()));
      }
    }
  }
  plan->classes = options.classes;
  if (!first) return;
  const LabelKind kind = kind_of(*first);
  plan->has_labels = kind != LabelKind::kNone;
  plan->task = options.task.value_or(Task::kSingleLabel);
  if (kind == LabelKind::kMask) plan->task = Task::kSegmentation;
  if (kind == LabelKind::kVector) plan->task = Task::kMultiLabel;
  if (kind == LabelKind::kClass) plan->task = Task::kSingleLabel;
  if (kind == LabelKind::kVector) num_classes = std::ssize(first->class_vector);
  if (kind == LabelKind::kVector && !plan->classes.empty() &&
      std::ssize(plan->classes) != num_classes) {
    throw DataError(fmt::format("{}: {} labels a sample, but {} --classes are given",
                                options.input.string(), num_classes, plan->classes.size()));
  }
  if (kind == LabelKind::kMask && plan->classes.empty()) {
    plan->classes = {"background", "foreground"};
  }
  for (int64_t k = 0; k < num_classes && options.classes.empty(); ++k) {
    plan->classes.push_back(std::to_string(k));
  }
}

}  // namespace

std::vector<PackedShard> index_tars(const PackOptions& options, PackWork* work, PackPlan* plan) {
  if (options.rewrite.decode || options.rewrite.changes_pixels() || options.rewrite.is_upright ||
      options.rewrite.jpeg_restart_px > 0) {
    throw UsageError(
        "existing tars are not rewritten: --decode, --resize, --max_side, --exif and "
        "--jpeg_restart_px do not go with --layout=webdataset");
  }
  const std::vector<fs::path> tars = list_tars(options.input);
  Progress progress("indexing", tars.size(), "tars");
  std::vector<PackedShard> shards;
  for (size_t i = 0; i < tars.size(); ++i) {
    if (std::error_code error; !fs::exists(tars[i], error)) {
      throw IoError(fmt::format("cannot read {}; check --input", tars[i].string()));
    }
    const std::string digest = input_digest(options, tars[i]);
    const fs::path link = work->path() / fmt::format("{}-{:06d}.tar", options.prefix, i);
    if (auto finished = work->find_finished(i, link, 0, [&](ShardRange) { return digest; })) {
      shards.push_back(std::move(*finished));
      progress.advance();
      continue;
    }
    shards.push_back(index_tar(options, tars[i], link, &progress));
    work->note_finished(i, shards.back(), digest);
  }
  progress.finish();
  describe_labels(options, work->path(), shards, plan);
  return shards;
}

bool names_a_sample(std::string_view name) {
  const std::string_view last = name.substr(name.rfind('/') + 1);
  const size_t dot = last.find('.');
  if (dot == std::string_view::npos || dot == 0) return false;
  // Any folder or file "__NAME__".
  for (const std::string& part : split(name, '/')) {
    if (part.size() > 4 && part.substr(0, 2) == "__" && part.substr(part.size() - 2) == "__") {
      return false;
    }
  }
  return true;
}

bool read_label_member(const std::string& extension, std::string_view bytes, SampleRecord* sample) {
  if (extension == "cls") {
    const auto value = parse_int(trim(bytes));
    if (!value || *value < 0) {
      throw DataError(
          fmt::format("class index \"{}\" is no number from 0 on", bytes.substr(0, 40)));
    }
    sample->class_index = *value;
    return true;
  }
  if (extension != "json") return false;
  const json root = json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) throw DataError("the JSON cannot be read");
  if (!root.is_object() || !root.contains("labels")) return false;
  const json& labels = root["labels"];
  if (labels.is_number_integer() && labels.get<int64_t>() >= 0) {
    sample->class_index = labels.get<int64_t>();
    return true;
  }
  if (!labels.is_array() || labels.empty()) {
    throw DataError(fmt::format("\"labels\" is {}, but a list or a class index is expected",
                                labels.dump().substr(0, 40)));
  }
  for (const json& label : labels) {
    const bool is_known = label == 0 || label == 1 || label == -1;
    if (!is_known && !label.is_null()) {
      throw DataError(fmt::format("label {} is none of 0, 1, -1, null (unknown)", label.dump()));
    }
    sample->class_vector.push_back(is_known ? label.get<float>() : kUnknownLabel);
  }
  return true;
}

}  // namespace podium::data_shards
