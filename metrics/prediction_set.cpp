// keys.json, and the digest of prediction sets. Format: docs/formats.md, "Prediction set".
#include "metrics/prediction_set.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/safetensors_file.h"
#include "base/text.h"
#include "metrics/output_directory.h"
#include "metrics/prediction_arrays.h"
#include "metrics/prediction_check.h"

namespace podium::metrics {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

constexpr int64_t kNewestVersion = 2;
constexpr const char* kArrayFile = "predictions.safetensors";
constexpr const char* kKeyFile = "keys.json";

std::string format_of(int64_t version) { return fmt::format("podium.prediction_set.v{}", version); }

template <typename Enum>
Enum parse_name(const json& header, const char* field, std::string (*name_of_value)(Enum),
                std::initializer_list<Enum> values) {
  const std::string name = header.at(field);
  std::vector<std::string> names;
  for (const Enum value : values) {
    names.push_back(name_of_value(value));
    if (names.back() == name) {
      return value;
    }
  }
  throw DataError(
      fmt::format("{}: {} \"{}\", expected one of {}", kKeyFile, field, name, join(names, ", ")));
}

// Version 2 without its digest.
json header_of(const PredictionSet& set) {
  return {{"format", format_of(kNewestVersion)},
          {"kind", kind_name(set.kind)},
          {"task", task_name(set.task)},
          {"values", value_kind_name(set.value_kind)},
          {"dtype", value_type_name(set.stored_type())},
          {"member", set.name},
          {"model_group", set.model_group},
          {"fold", set.fold},
          {"class_hash", set.class_hash},
          {"data_digest", set.data_digest},
          {"weights", {{"source", set.weights.source}, {"licence", set.weights.licence}}},
          {"classes", set.classes},
          {"keys", set.keys}};
}

std::string canonical_text(const json& header) {
  try {
    return header.dump();
  } catch (const json::type_error& error) {
    throw DataError(fmt::format("{}: {}; names and keys must be UTF-8", kKeyFile, error.what()));
  }
}

// A name that comes twice is an error: of two values one would be lost silently.
json parse_once(const std::string& text) {
  std::vector<std::set<std::string>> open;
  return json::parse(text, [&](int, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) open.emplace_back();
    if (event == json::parse_event_t::object_end) open.pop_back();
    if (event == json::parse_event_t::key &&
        !open.back().insert(parsed.get<std::string>()).second) {
      throw DataError(fmt::format("{}: \"{}\" occurs twice", kKeyFile, parsed.get<std::string>()));
    }
    return true;
  });
}

void require_names(const json& object, const json& expected, const std::string& place) {
  for (const auto& [name, value] : object.items()) {
    if (expected.contains(name)) continue;
    throw DataError(fmt::format("{}: unknown member \"{}\" of {}", kKeyFile, name, place));
  }
}

int64_t whole_number(const json& header, const char* field) {
  const json& value = header.at(field);
  if (!value.is_number_integer()) {
    throw DataError(
        fmt::format("{}: {} is {}, expected a whole number", kKeyFile, field, value.dump()));
  }
  return value.get<int64_t>();
}

PredictionSet parse_header(const json& header) {
  PredictionSet set;
  const std::string format = header.value("format", std::string());
  set.format_version = format == format_of(1) ? 1 : kNewestVersion;
  if (format != format_of(set.format_version)) {
    throw DataError(fmt::format(
        "{}: format \"{}\", expected \"{}\" or \"{}\"; write it again with this version", kKeyFile,
        format, format_of(kNewestVersion), format_of(1)));
  }
  set.kind =
      parse_name(header, "kind", kind_name, {PredictionKind::kOutOfFold, PredictionKind::kTest});
  set.task = parse_name(
      header, "task", task_name,
      {PredictionTask::kMultiLabel, PredictionTask::kSingleLabel, PredictionTask::kSegmentation});
  header.at(set.format_version == 1 ? "name" : "member").get_to(set.name);
  header.at("model_group").get_to(set.model_group);
  set.fold = whole_number(header, "fold");
  header.at("class_hash").get_to(set.class_hash);
  header.at("data_digest").get_to(set.data_digest);
  header.at("classes").get_to(set.classes);
  header.at("keys").get_to(set.keys);
  if (set.format_version == 1) return set;
  set.value_kind =
      parse_name(header, "values", value_kind_name,
                 {ValueKind::kProbabilities, ValueKind::kSigmoidLogits, ValueKind::kSoftmaxLogits});
  set.value_type = parse_name(header, "dtype", value_type_name,
                              {ValueType::kFloat32, ValueType::kFloat16, ValueType::kUint16});
  if (set.value_type != set.stored_type()) {
    throw DataError(fmt::format("{}: dtype \"{}\", but mask probabilities are \"{}\"", kKeyFile,
                                value_type_name(set.value_type),
                                value_type_name(set.stored_type())));
  }
  header.at("weights").at("source").get_to(set.weights.source);
  header.at("weights").at("licence").get_to(set.weights.licence);
  json expected = header_of(set);
  require_names(header.at("weights"), expected.at("weights"), "\"weights\"");
  expected["digest"] = "";
  require_names(header, expected, "the object");
  return set;
}

void add_arrays(Hasher& hasher, const std::map<std::string, ArrayView>& arrays) {
  for (const auto& [array, view] : arrays) {
    hasher.update(
        fmt::format("{} {} [{}]\n", array, name_of(view.dtype), fmt::join(view.shape, ",")));
    hasher.update(view.data);
  }
}

std::string digest_of(const json& header, const PredictionArrays& arrays) {
  Hasher hasher;
  hasher.update(canonical_text(header));
  hasher.update(std::string_view("\n", 1));
  add_arrays(hasher, arrays.all());
  return hasher.hex();
}

// Both files are of one set: a copied half of another version is not.
void require_same_format(const SafetensorsFile& file, int64_t version) {
  const auto found = file.metadata().find("format");
  if (found != file.metadata().end() && found->second == format_of(version)) return;
  throw DataError(fmt::format("{}: format \"{}\", expected \"{}\" from {}", kArrayFile,
                              found == file.metadata().end() ? "" : found->second,
                              format_of(version), kKeyFile));
}

PredictionSet load_finished(const fs::path& directory) {
  PredictionSet set;
  std::string digest;
  try {
    const json header = parse_once(read_file(directory / kKeyFile));
    set = parse_header(header);
    header.at("digest").get_to(digest);
  } catch (const json::exception& error) {
    throw DataError(fmt::format("{}: {}; write the prediction set again", kKeyFile, error.what()));
  }
  const SafetensorsFile file(directory / kArrayFile);
  require_same_format(file, set.format_version);
  read_arrays(file, set);
  check_predictions(set);
  if (const std::string found = set.digest(); found != digest) {
    throw DataError(
        fmt::format("digest {} of what the set holds, expected {} from {}; the files were "
                    "changed, predict again",
                    found, digest, kKeyFile));
  }
  return set;
}

}  // namespace

std::string kind_name(PredictionKind kind) {
  return kind == PredictionKind::kOutOfFold ? "out_of_fold" : "test";
}

std::string task_name(PredictionTask task) {
  switch (task) {
    case PredictionTask::kMultiLabel:
      return "multi_label";
    case PredictionTask::kSingleLabel:
      return "single_label";
    case PredictionTask::kSegmentation:
      return "segmentation";
  }
  throw InternalError(
      fmt::format("prediction task {} is none of the three", static_cast<int>(task)));
}

std::string value_kind_name(ValueKind kind) {
  switch (kind) {
    case ValueKind::kProbabilities:
      return "probabilities";
    case ValueKind::kSigmoidLogits:
      return "sigmoid_logits";
    case ValueKind::kSoftmaxLogits:
      return "softmax_logits";
  }
  throw InternalError(fmt::format("value kind {} is none of the three", static_cast<int>(kind)));
}

std::string value_type_name(ValueType type) {
  switch (type) {
    case ValueType::kFloat32:
      return "fp32";
    case ValueType::kFloat16:
      return "fp16";
    case ValueType::kUint16:
      return "uint16";
  }
  throw InternalError(fmt::format("value type {} is none of the three", static_cast<int>(type)));
}

std::string PredictionSet::digest() const {
  return format_version == 1 ? values_digest()
                             : digest_of(header_of(*this), PredictionArrays(*this));
}

std::string PredictionSet::values_digest() const {
  Hasher hasher;
  for (const std::string& key : keys) {
    hasher.update(key);
    hasher.update(std::string_view("\n", 1));
  }
  add_arrays(hasher, PredictionArrays(*this).values());
  return hasher.hex();
}

void PredictionSet::save(const fs::path& directory) const {
  with_context(directory.string(), [&] { check_predictions(*this); });
  const PredictionArrays arrays(*this);
  json header = header_of(*this);
  header["digest"] = with_context(directory.string(), [&] { return digest_of(header, arrays); });
  OutputDirectory output(directory, true);
  write_safetensors(output.path() / kArrayFile, arrays.all(),
                    {{"format", format_of(kNewestVersion)}});
  write_file_atomic(output.path() / kKeyFile, header.dump(1) + "\n");
  output.commit();
}

PredictionSet PredictionSet::load(const fs::path& directory) {
  std::error_code ignored;
  if (!fs::is_directory(directory, ignored)) {
    throw IoError(
        fmt::format("{}: no such directory; expected a prediction set", directory.string()));
  }
  require_done(directory,
               "its run is still going or died; finish it (train --resume=auto), or leave it out");
  return with_context(directory.string(), [&] { return load_finished(directory); });
}

}  // namespace podium::metrics
