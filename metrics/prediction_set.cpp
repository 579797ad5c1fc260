// Writing, strict reading and the digest of prediction sets. Format: docs/formats.md, "Prediction
// set".
#include "metrics/prediction_set.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/safetensors_file.h"
#include "base/text.h"
#include "metrics/output_directory.h"

namespace podium::metrics {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

constexpr std::string_view kFormat = "podium.prediction_set.v1";
constexpr const char* kArrayFile = "predictions.safetensors";
constexpr const char* kKeyFile = "keys.json";
constexpr uint8_t kIgnoredPixel = 255;

template <typename Value>
ArrayView view_of(DType dtype, const std::vector<Value>& values, std::vector<int64_t> shape) {
  return {dtype, std::move(shape),
          std::string_view(reinterpret_cast<const char*>(values.data()),
                           values.size() * sizeof(Value))};
}

// Copies an array out; `expected_rows` < 0: any length of a flat array.
template <typename Value>
std::vector<Value> copy_array(const SafetensorsFile& file, const std::string& name, DType dtype,
                              const std::vector<int64_t>& expected_shape) {
  const ArrayView& view = file.at(name, dtype, static_cast<int>(expected_shape.size()));
  if (expected_shape[0] >= 0 && view.shape != expected_shape) {
    throw DataError(fmt::format("{}: \"{}\" has shape [{}], expected [{}] from {}", kArrayFile,
                                name, fmt::join(view.shape, ", "), fmt::join(expected_shape, ", "),
                                kKeyFile));
  }
  std::vector<Value> values(view.data.size() / sizeof(Value));
  if (!values.empty()) {
    std::memcpy(values.data(), view.data.data(), view.data.size());
  }
  return values;
}

void require_size(const char* what, size_t found, size_t expected) {
  if (found != expected) {
    throw DataError(fmt::format("{} {}, expected {}", found, what, expected));
  }
}

void check_keys(const PredictionSet& set) {
  if (set.keys.empty() || set.classes.empty()) {
    throw DataError(fmt::format("{} samples and {} classes; expected at least one of each",
                                set.keys.size(), set.classes.size()));
  }
  for (size_t n = 1; n < set.keys.size(); ++n) {
    if (set.keys[n - 1] == set.keys[n]) {
      throw DataError(
          fmt::format("key \"{}\" occurs twice; predict each sample once", set.keys[n]));
    }
    if (set.keys[n - 1] > set.keys[n]) {
      throw DataError(fmt::format("keys are not ascending: \"{}\" before \"{}\"", set.keys[n - 1],
                                  set.keys[n]));
    }
  }
}

void check_class_values(const PredictionSet& set) {
  const size_t num_samples = set.keys.size();
  const size_t num_classes = set.classes.size();
  require_size("probabilities", set.probabilities.size(), num_samples * num_classes);
  for (size_t i = 0; i < set.probabilities.size(); ++i) {
    const float p = set.probabilities[i];
    if (!(p >= 0.0f && p <= 1.0f)) {
      throw DataError(fmt::format("sample \"{}\", class \"{}\": probability {}, expected 0 to 1",
                                  set.keys[i / num_classes], set.classes[i % num_classes], p));
    }
  }
  if (set.task == PredictionTask::kMultiLabel) {
    require_size("targets", set.targets.size(),
                 set.targets.empty() ? 0 : num_samples * num_classes);
    require_size("class targets in a multi-label set", set.class_targets.size(), 0);
  } else {
    require_size("class targets", set.class_targets.size(),
                 set.class_targets.empty() ? 0 : num_samples);
    require_size("multi-label targets in a single-label set", set.targets.size(), 0);
  }
  for (size_t i = 0; i < set.targets.size(); ++i) {
    const float t = set.targets[i];
    if (t != 0.0f && t != 1.0f && t != -1.0f) {
      throw DataError(
          fmt::format("sample \"{}\", class \"{}\": target {}, expected 0, 1 or -1 (unknown)",
                      set.keys[i / num_classes], set.classes[i % num_classes], t));
    }
  }
  for (size_t n = 0; n < set.class_targets.size(); ++n) {
    if (set.class_targets[n] < -1 || set.class_targets[n] >= set.num_classes()) {
      throw DataError(fmt::format("sample \"{}\": class {}, expected -1 (unknown) to {}",
                                  set.keys[n], set.class_targets[n], num_classes - 1));
    }
  }
}

void check_masks(const PredictionSet& set) {
  const size_t num_samples = set.keys.size();
  require_size("mask heights", set.mask_heights.size(), num_samples);
  require_size("mask widths", set.mask_widths.size(), num_samples);
  size_t num_pixels = 0;
  for (size_t n = 0; n < num_samples; ++n) {
    if (set.mask_heights[n] <= 0 || set.mask_widths[n] <= 0) {
      throw DataError(fmt::format("sample \"{}\": a mask of {} x {} px, expected at least 1 x 1",
                                  set.keys[n], set.mask_heights[n], set.mask_widths[n]));
    }
    num_pixels +=
        static_cast<size_t>(set.mask_heights[n]) * static_cast<size_t>(set.mask_widths[n]);
  }
  require_size("mask probabilities", set.mask_probabilities.size(),
               num_pixels * set.classes.size());
  require_size("mask targets", set.mask_targets.size(), set.mask_targets.empty() ? 0 : num_pixels);
  const int64_t num_values = set.num_classes() == 1 ? 2 : set.num_classes();
  for (size_t i = 0; i < set.mask_targets.size(); ++i) {
    if (set.mask_targets[i] >= num_values && set.mask_targets[i] != kIgnoredPixel) {
      throw DataError(fmt::format("mask pixel {}: class {}, expected 0 to {} or 255 (ignored)", i,
                                  set.mask_targets[i], num_values - 1));
    }
  }
}

void check(const PredictionSet& set) {
  check_keys(set);
  if (set.task == PredictionTask::kSegmentation) {
    check_masks(set);
  } else {
    check_class_values(set);
  }
}

std::map<std::string, ArrayView> arrays_of(const PredictionSet& set) {
  std::map<std::string, ArrayView> arrays;
  const int64_t num_samples = set.num_samples();
  if (set.task == PredictionTask::kSegmentation) {
    arrays["mask_heights"] = view_of(DType::kI32, set.mask_heights, {num_samples});
    arrays["mask_widths"] = view_of(DType::kI32, set.mask_widths, {num_samples});
    arrays["mask_probabilities"] = view_of(DType::kU16, set.mask_probabilities,
                                           {static_cast<int64_t>(set.mask_probabilities.size())});
    if (!set.mask_targets.empty()) {
      arrays["mask_targets"] =
          view_of(DType::kU8, set.mask_targets, {static_cast<int64_t>(set.mask_targets.size())});
    }
    return arrays;
  }
  arrays["probabilities"] =
      view_of(DType::kF32, set.probabilities, {num_samples, set.num_classes()});
  if (!set.targets.empty()) {
    arrays["targets"] = view_of(DType::kF32, set.targets, {num_samples, set.num_classes()});
  }
  if (!set.class_targets.empty()) {
    arrays["class_targets"] = view_of(DType::kI64, set.class_targets, {num_samples});
  }
  return arrays;
}

template <typename Enum>
Enum parse_name(const std::string& name, std::string (*name_of_value)(Enum),
                std::initializer_list<Enum> values, const char* field) {
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

json header_of(const PredictionSet& set) {
  return {{"format", kFormat},
          {"kind", kind_name(set.kind)},
          {"task", task_name(set.task)},
          {"name", set.name},
          {"model_group", set.model_group},
          {"fold", set.fold},
          {"class_hash", set.class_hash},
          {"data_digest", set.data_digest},
          {"classes", set.classes},
          {"keys", set.keys},
          {"digest", set.digest()}};
}

PredictionSet parse_header(const json& header) {
  PredictionSet set;
  if (header.value("format", std::string()) != kFormat) {
    throw DataError(
        fmt::format("{}: format \"{}\", expected \"{}\"; write it again with this version",
                    kKeyFile, header.value("format", std::string()), kFormat));
  }
  set.kind = parse_name(header.at("kind").get<std::string>(), kind_name,
                        {PredictionKind::kOutOfFold, PredictionKind::kTest}, "kind");
  set.task = parse_name(
      header.at("task").get<std::string>(), task_name,
      {PredictionTask::kMultiLabel, PredictionTask::kSingleLabel, PredictionTask::kSegmentation},
      "task");
  header.at("name").get_to(set.name);
  header.at("model_group").get_to(set.model_group);
  header.at("fold").get_to(set.fold);
  header.at("class_hash").get_to(set.class_hash);
  header.at("data_digest").get_to(set.data_digest);
  header.at("classes").get_to(set.classes);
  header.at("keys").get_to(set.keys);
  return set;
}

void read_arrays(const SafetensorsFile& file, PredictionSet& set) {
  const int64_t num_samples = set.num_samples();
  const auto has = [&](const char* name) { return file.arrays().contains(name); };
  if (set.task == PredictionTask::kSegmentation) {
    set.mask_heights = copy_array<int32_t>(file, "mask_heights", DType::kI32, {num_samples});
    set.mask_widths = copy_array<int32_t>(file, "mask_widths", DType::kI32, {num_samples});
    set.mask_probabilities = copy_array<uint16_t>(file, "mask_probabilities", DType::kU16, {-1});
    if (has("mask_targets")) {
      set.mask_targets = copy_array<uint8_t>(file, "mask_targets", DType::kU8, {-1});
    }
  } else {
    set.probabilities =
        copy_array<float>(file, "probabilities", DType::kF32, {num_samples, set.num_classes()});
    if (has("targets")) {
      set.targets =
          copy_array<float>(file, "targets", DType::kF32, {num_samples, set.num_classes()});
    }
    if (has("class_targets")) {
      set.class_targets = copy_array<int64_t>(file, "class_targets", DType::kI64, {num_samples});
    }
  }
  for (const auto& [name, view] : file.arrays()) {
    if (!arrays_of(set).contains(name)) {
      throw DataError(fmt::format("{}: unexpected array \"{}\" in a {} set", kArrayFile, name,
                                  task_name(set.task)));
    }
  }
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

std::string PredictionSet::digest() const {
  Hasher hasher;
  for (const std::string& key : keys) {
    hasher.update(key);
    hasher.update(std::string_view("\n", 1));
  }
  for (const auto& [array, view] : arrays_of(*this)) {
    hasher.update(
        fmt::format("{} {} [{}]\n", array, name_of(view.dtype), fmt::join(view.shape, ",")));
    hasher.update(view.data);
  }
  return hasher.hex();
}

void PredictionSet::save(const fs::path& directory) const {
  with_context(directory.string(), [&] { check(*this); });
  OutputDirectory output(directory, true);
  write_safetensors(output.path() / kArrayFile, arrays_of(*this),
                    {{"format", std::string(kFormat)}});
  write_file_atomic(output.path() / kKeyFile, header_of(*this).dump(1) + "\n");
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
  return with_context(directory.string(), [&] {
    PredictionSet set;
    std::string digest;
    try {
      const json header = json::parse(read_file(directory / kKeyFile));
      set = parse_header(header);
      header.at("digest").get_to(digest);
    } catch (const json::exception& error) {
      throw DataError(
          fmt::format("{}: {}; write the prediction set again", kKeyFile, error.what()));
    }
    read_arrays(SafetensorsFile(directory / kArrayFile), set);
    check(set);
    if (const std::string found = set.digest(); found != digest) {
      throw DataError(
          fmt::format("digest {} of keys and values, expected {} from {}; the files were changed, "
                      "predict again",
                      found, digest, kKeyFile));
    }
    return set;
  });
}

}  // namespace podium::metrics
