// JSON of dataset.json and of the sample tables.
#include "data_shards/format/dataset_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/hash.h"

namespace podium::data_shards {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kFormatName = "podium-dataset";

// Runs a parse; what nlohmann complains of becomes a DataError with the place.
template <typename Function>
auto parse_at(const std::string& place, Function&& function) {
  try {
    return function();
  } catch (const json::exception& error) {
    std::string reason = error.what();
    std::replace(reason.begin(), reason.end(), '\n', ' ');
    throw DataError(fmt::format("{}: {}; copy it again or repack", place, reason));
  }
}

// Labels as one character a class: '1', '0', '?' (unknown).
std::string labels_to_text(const std::vector<float>& labels) {
  std::string text;
  for (float label : labels) text.push_back(label == 1.0f ? '1' : label == 0.0f ? '0' : '?');
  return text;
}

std::vector<float> labels_from_text(const std::string& text, const std::string& place) {
  std::vector<float> labels;
  labels.reserve(text.size());
  for (char c : text) {
    if (c != '1' && c != '0' && c != '?') {
      throw DataError(fmt::format("{}: label '{}' is none of 0, 1, ?; repack", place, c));
    }
    labels.push_back(c == '1' ? 1.0f : c == '0' ? 0.0f : kUnknownLabel);
  }
  return labels;
}

uint64_t parse_hex(const std::string& text, const std::string& place) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc{} || end != text.data() + text.size() || text.size() != 16) {
    throw DataError(fmt::format("{}: xxh3 \"{}\" is not 16 hex digits; repack", place, text));
  }
  return value;
}

ordered_json member_to_json(const MemberRecord& member) {
  ordered_json entry = {{"ext", member.extension},
                        {"offset", member.offset},
                        {"size", member.size},
                        {"xxh3", fmt::format("{:016x}", member.xxh3)}};
  if (!member.name.empty()) entry["name"] = member.name;
  if (member.width > 0) {
    entry["width"] = member.width;
    entry["height"] = member.height;
  }
  return entry;
}

MemberRecord member_from_json(const json& entry, const std::string& place) {
  MemberRecord member;
  member.extension = entry.at("ext").get<std::string>();
  member.offset = entry.at("offset").get<int64_t>();
  member.size = entry.at("size").get<int64_t>();
  member.xxh3 = parse_hex(entry.at("xxh3").get_ref<const std::string&>(), place);
  member.name = entry.value("name", "");
  if (const auto width = entry.find("width"); width != entry.end()) {
    member.width = width->get<int32_t>();
    member.height = entry.at("height").get<int32_t>();
  }
  return member;
}

SampleRecord sample_from_json(const json& entry, const std::string& place) {
  SampleRecord sample;
  sample.key = entry.at("key").get<std::string>();
  sample.stem = entry.value("stem", sample.key);
  sample.group = entry.value("group", sample.key);
  if (const auto labels = entry.find("labels"); labels != entry.end()) {
    sample.class_vector = labels_from_text(labels->get_ref<const std::string&>(), place);
  }
  sample.class_index = entry.value("class", kNoClass);
  if (const auto pixels = entry.find("mask_pixels"); pixels != entry.end()) {
    sample.mask_pixels = pixels->get<std::vector<int64_t>>();
  }
  const json& members = entry.at("members");
  sample.members.reserve(members.size());
  for (const json& member : members) sample.members.push_back(member_from_json(member, place));
  if (sample.members.empty()) throw DataError(place + ": a sample without members; repack");
  return sample;
}

// dataset.json with an empty list of shards, where the file has an index that says what they are.
// Reading 100,000 shards takes longer than all else. The list comes last, and no text in JSON holds
// a line feed, so the line where it begins is found by looking for it.
json parse_without_shards(std::string_view text) {
  constexpr std::string_view kBegin = ",\n \"shards\": [\n";
  const size_t begin = text.find(kBegin);
  const bool has_index = text.find("\n \"index_xxh3_128\": ") < begin;
  if (!has_index || begin == std::string_view::npos || !text.ends_with("\n ]\n}\n")) {
    return json::parse(text);
  }
  return json::parse(std::string(text.substr(0, begin)) + ",\"shards\":[]}");
}

}  // namespace

std::string hash_of_classes(const std::vector<std::string>& classes) {
  Hasher hasher;
  for (const std::string& name : classes) {
    hasher.update(name);
    hasher.update("\n");
  }
  return hasher.hex();
}

std::string description_to_json(const DatasetDescription& description) {
  ordered_json root;
  root["format"] = kFormatName;
  root["version"] = kDatasetVersion;
  root["task"] = task_name(description.task);
  root["layout"] = description.layout;
  root["classes"] = description.classes;
  root["class_hash"] = description.class_hash;
  root["has_labels"] = description.has_labels;
  root["image_members"] = description.image_members;
  root["num_samples"] = description.num_samples;
  root["label_histogram"] = description.label_histogram;
  root["unknown_labels"] = description.unknown_labels;
  root["bad_samples"] = ordered_json::array();
  for (const BadSample& bad : description.bad_samples) {
    root["bad_samples"].push_back({{"place", bad.place}, {"reason", bad.reason}});
  }
  if (!description.index_xxh3_128.empty()) root["index_xxh3_128"] = description.index_xxh3_128;
  root["shards"] = ordered_json::array();
  for (const ShardInfo& shard : description.shards) {
    root["shards"].push_back({{"file", shard.file},
                              {"num_samples", shard.num_samples},
                              {"num_bytes", shard.num_bytes},
                              {"xxh3_128", shard.xxh3_128},
                              {"samples_xxh3_128", shard.samples_xxh3_128}});
  }
  return root.dump(1) + "\n";
}

DatasetDescription parse_description(std::string_view text, const std::string& file,
                                     bool skips_shards) {
  return parse_at(file, [&] {
    const json root = skips_shards ? parse_without_shards(text) : json::parse(text);
    const auto format = root.at("format").get<std::string>();
    const auto version = root.at("version").get<int64_t>();
    if (format != kFormatName || version != kDatasetVersion) {
      throw DataError(
          fmt::format("{}: format \"{}\" version {}, but this program reads \"{}\" "
                      "version {}; repack with this version",
                      file, format, version, kFormatName, kDatasetVersion));
    }
    DatasetDescription description;
    description.task = with_context(file, [&] { return parse_task(root.at("task")); });
    root.at("layout").get_to(description.layout);
    root.at("classes").get_to(description.classes);
    root.at("class_hash").get_to(description.class_hash);
    root.at("has_labels").get_to(description.has_labels);
    root.at("image_members").get_to(description.image_members);
    root.at("num_samples").get_to(description.num_samples);
    description.index_xxh3_128 = root.value("index_xxh3_128", "");
    root.at("label_histogram").get_to(description.label_histogram);
    root.at("unknown_labels").get_to(description.unknown_labels);
    for (const json& bad : root.at("bad_samples")) {
      description.bad_samples.push_back({bad.at("place"), bad.at("reason")});
    }
    for (const json& entry : root.at("shards")) {
      ShardInfo shard;
      entry.at("file").get_to(shard.file);
      entry.at("num_samples").get_to(shard.num_samples);
      entry.at("num_bytes").get_to(shard.num_bytes);
      entry.at("xxh3_128").get_to(shard.xxh3_128);
      entry.at("samples_xxh3_128").get_to(shard.samples_xxh3_128);
      description.shards.push_back(std::move(shard));
    }
    return description;
  });
}

std::filesystem::path sample_table_path(const std::filesystem::path& shard) {
  return shard.parent_path() / (shard.stem().string() + ".samples.jsonl");
}

std::string sample_table_text(const std::vector<SampleRecord>& samples) {
  std::string text;
  for (const SampleRecord& sample : samples) {
    ordered_json line;
    line["key"] = sample.key;
    if (sample.stem != sample.key) line["stem"] = sample.stem;
    if (sample.group != sample.key) line["group"] = sample.group;
    if (!sample.class_vector.empty()) line["labels"] = labels_to_text(sample.class_vector);
    if (sample.class_index != kNoClass) line["class"] = sample.class_index;
    if (!sample.mask_pixels.empty()) line["mask_pixels"] = sample.mask_pixels;
    line["members"] = ordered_json::array();
    for (const MemberRecord& member : sample.members) {
      line["members"].push_back(member_to_json(member));
    }
    text += line.dump();
    text.push_back('\n');
  }
  return text;
}

std::vector<SampleRecord> parse_sample_table(std::string_view text, const std::string& file) {
  std::vector<SampleRecord> samples;
  for (size_t at = 0; at < text.size();) {
    const std::string place = fmt::format("{}:{}", file, samples.size() + 1);
    const size_t end = text.find('\n', at);
    if (end == std::string_view::npos) {
      throw DataError(place + ": the last line is cut; copy it again or repack");
    }
    const std::string_view line = text.substr(at, end - at);
    samples.push_back(parse_at(place, [&] { return sample_from_json(json::parse(line), place); }));
    at = end + 1;
  }
  return samples;
}

void count_labels(const SampleRecord& sample, DatasetDescription* description) {
  ++description->num_samples;
  for (size_t k = 0; k < sample.class_vector.size(); ++k) {
    if (sample.class_vector[k] == 1.0f) ++description->label_histogram[k];
    if (sample.class_vector[k] == kUnknownLabel) ++description->unknown_labels[k];
  }
  if (sample.class_index != kNoClass) {
    ++description->label_histogram[static_cast<size_t>(sample.class_index)];
  }
  for (size_t k = 0; k < sample.mask_pixels.size(); ++k) {
    description->label_histogram[k] += sample.mask_pixels[k];
  }
}

bool is_image_extension(std::string_view extension) {
  if (is_mask_extension(extension)) return false;
  const std::string_view last = extension.substr(extension.rfind('.') + 1);
  return last == "jpg" || last == "png" || last == "webp" || last == "tif" || last == "npy";
}

bool is_mask_extension(std::string_view extension) {
  return extension == "mask.png" || extension == "mask.npy";
}

std::string member_name(const SampleRecord& sample, const MemberRecord& member) {
  return member.name.empty() ? sample.stem + "." + member.extension : member.name;
}

LabelMember label_member(const SampleRecord& sample) {
  if (sample.class_index != kNoClass) return {"cls", std::to_string(sample.class_index)};
  if (sample.class_vector.empty()) return {};
  std::vector<int> labels;
  for (float label : sample.class_vector) labels.push_back(static_cast<int>(label));
  return {"json", json{{"labels", labels}}.dump()};
}

}  // namespace podium::data_shards
