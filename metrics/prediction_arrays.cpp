// From vectors to arrays of a file and back.
#include "metrics/prediction_arrays.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "metrics/half.h"

namespace podium::metrics {
namespace {

constexpr const char* kArrayFile = "predictions.safetensors";
constexpr double kSteps = 65535;

template <typename Value>
ArrayView view_of(DType dtype, const std::vector<Value>& values, std::vector<int64_t> shape) {
  return {dtype, std::move(shape),
          std::string_view(reinterpret_cast<const char*>(values.data()),
                           values.size() * sizeof(Value))};
}

template <typename Value>
std::vector<int64_t> flat(const std::vector<Value>& values) {
  return {static_cast<int64_t>(values.size())};
}

// Copies an array out; `expected_shape` {-1}: any length of a flat array.
template <typename Value>
std::vector<Value> copy_array(const SafetensorsFile& file, const std::string& name, DType dtype,
                              const std::vector<int64_t>& expected_shape) {
  const ArrayView& view = file.at(name, dtype, static_cast<int>(expected_shape.size()));
  if (expected_shape[0] >= 0 && view.shape != expected_shape) {
    throw DataError(fmt::format("{}: \"{}\" has shape [{}], expected [{}] from keys.json",
                                kArrayFile, name, fmt::join(view.shape, ", "),
                                fmt::join(expected_shape, ", ")));
  }
  std::vector<Value> values(view.data.size() / sizeof(Value));
  if (!values.empty()) {
    std::memcpy(values.data(), view.data.data(), view.data.size());
  }
  return values;
}

std::vector<float> copy_values(const SafetensorsFile& file, const std::string& name, ValueType type,
                               const std::vector<int64_t>& expected_shape) {
  if (type == ValueType::kFloat32) {
    return copy_array<float>(file, name, DType::kF32, expected_shape);
  }
  const bool is_half = type == ValueType::kFloat16;
  std::vector<float> values;
  for (const uint16_t bits :
       copy_array<uint16_t>(file, name, is_half ? DType::kF16 : DType::kU16, expected_shape)) {
    values.push_back(is_half ? float_of_half(bits) : static_cast<float>(bits / kSteps));
  }
  return values;
}

}  // namespace

PredictionArrays::PredictionArrays(const PredictionSet& set) {
  const int64_t num_samples = set.num_samples();
  const std::vector<int64_t> table = {num_samples, set.num_classes()};
  if (!set.image_heights.empty()) {
    sizes_["image_heights"] = view_of(DType::kI32, set.image_heights, {num_samples});
    sizes_["image_widths"] = view_of(DType::kI32, set.image_widths, {num_samples});
  }
  if (set.task == PredictionTask::kSegmentation) {
    values_["mask_heights"] = view_of(DType::kI32, set.mask_heights, {num_samples});
    values_["mask_widths"] = view_of(DType::kI32, set.mask_widths, {num_samples});
    if (set.has_logits()) {
      values_["mask_logits"] = encoded(set.logits, flat(set.logits), set.stored_type());
    } else {
      values_["mask_probabilities"] =
          view_of(DType::kU16, set.mask_probabilities, flat(set.mask_probabilities));
    }
    if (!set.mask_targets.empty()) {
      values_["mask_targets"] = view_of(DType::kU8, set.mask_targets, flat(set.mask_targets));
    }
    return;
  }
  if (set.has_logits()) {
    values_["logits"] = encoded(set.logits, table, set.stored_type());
  } else {
    values_["probabilities"] = encoded(set.probabilities, table, set.stored_type());
  }
  if (!set.targets.empty()) {
    values_["targets"] = view_of(DType::kF32, set.targets, table);
  }
  if (!set.class_targets.empty()) {
    values_["class_targets"] = view_of(DType::kI64, set.class_targets, {num_samples});
  }
}

ArrayView PredictionArrays::encoded(const std::vector<float>& floats, std::vector<int64_t> shape,
                                    ValueType type) {
  if (type == ValueType::kFloat32) {
    return view_of(DType::kF32, floats, std::move(shape));
  }
  const bool is_half = type == ValueType::kFloat16;
  encoded_.reserve(floats.size());
  for (const float value : floats) {
    encoded_.push_back(
        is_half ? half_bits(value)
                : static_cast<uint16_t>(std::lround(static_cast<double>(value) * kSteps)));
  }
  return view_of(is_half ? DType::kF16 : DType::kU16, encoded_, std::move(shape));
}

std::map<std::string, ArrayView> PredictionArrays::all() const {
  std::map<std::string, ArrayView> arrays = values_;
  arrays.insert(sizes_.begin(), sizes_.end());
  return arrays;
}

void read_arrays(const SafetensorsFile& file, PredictionSet& set) {
  const int64_t num_samples = set.num_samples();
  const std::vector<int64_t> table = {num_samples, set.num_classes()};
  const auto has = [&](const char* name) { return file.arrays().contains(name); };
  if (set.format_version > 1 && (has("image_heights") || has("image_widths"))) {
    set.image_heights = copy_array<int32_t>(file, "image_heights", DType::kI32, {num_samples});
    set.image_widths = copy_array<int32_t>(file, "image_widths", DType::kI32, {num_samples});
  }
  if (set.task == PredictionTask::kSegmentation) {
    set.mask_heights = copy_array<int32_t>(file, "mask_heights", DType::kI32, {num_samples});
    set.mask_widths = copy_array<int32_t>(file, "mask_widths", DType::kI32, {num_samples});
    if (set.has_logits()) {
      set.logits = copy_values(file, "mask_logits", set.stored_type(), {-1});
    } else {
      set.mask_probabilities = copy_array<uint16_t>(file, "mask_probabilities", DType::kU16, {-1});
    }
    if (has("mask_targets")) {
      set.mask_targets = copy_array<uint8_t>(file, "mask_targets", DType::kU8, {-1});
    }
  } else {
    (set.has_logits() ? set.logits : set.probabilities) =
        copy_values(file, set.has_logits() ? "logits" : "probabilities", set.stored_type(), table);
    if (has("targets")) {
      set.targets = copy_array<float>(file, "targets", DType::kF32, table);
    }
    if (has("class_targets")) {
      set.class_targets = copy_array<int64_t>(file, "class_targets", DType::kI64, {num_samples});
    }
  }
  const auto expected = PredictionArrays(set).all();
  for (const auto& [name, view] : file.arrays()) {
    if (!expected.contains(name)) {
      throw DataError(fmt::format("{}: unexpected array \"{}\" in a {} set of {}", kArrayFile, name,
                                  task_name(set.task), value_kind_name(set.value_kind)));
    }
  }
}

}  // namespace podium::metrics
