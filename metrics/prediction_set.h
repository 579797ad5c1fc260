// A prediction set: what a model says about each sample, joined by key. Written by `train` and
// `predict`, read by `gather`. Format: docs/formats.md. A directory with predictions.safetensors,
// keys.json and DONE. Read next: prediction_check.h, prediction_arrays.h, activation.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace podium::metrics {

// What the numbers are. Out-of-fold and test sets are distinct: thresholds cannot be fitted on
// test.
enum class PredictionKind { kOutOfFold, kTest };
enum class PredictionTask { kMultiLabel, kSingleLabel, kSegmentation };
// Logits say by their kind which activation makes probabilities of them (activation.h).
enum class ValueKind { kProbabilities, kSigmoidLogits, kSoftmaxLogits };
// How values are stored: kUint16 holds probabilities in steps of 1/65535.
enum class ValueType { kFloat32, kFloat16, kUint16 };
std::string kind_name(PredictionKind kind);   // "out_of_fold", "test"
std::string task_name(PredictionTask task);   // "multi_label", ...
std::string value_kind_name(ValueKind kind);  // "probabilities", "sigmoid_logits", ...
std::string value_type_name(ValueType type);  // "fp32", "fp16", "uint16"

// Where the weights come from that training began with.
struct WeightsOrigin {
  std::string source;   // "resnet18.safetensors (XXH3-128 ...)", a URL; "": drawn at random
  std::string licence;  // "apache-2.0"; "": not known
};

// What a model says about N samples, sorted by key.
struct PredictionSet {
  // Of the file that the set was read from; save() writes the newest.
  int64_t format_version = 2;
  PredictionKind kind = PredictionKind::kOutOfFold;
  PredictionTask task = PredictionTask::kMultiLabel;
  std::string name;         // of the member of an ensemble, its trial: "sharpening/fold0"
  std::string model_group;  // trials that differ only in the fold: "sharpening"; folds of a group
                            // are joined / averaged
  int64_t fold = -1;        // validation fold of the trial, -1: none
  std::string class_hash;
  std::string data_digest;
  WeightsOrigin weights;
  std::vector<std::string> classes;  // (K)
  std::vector<std::string> keys;     // (N) ascending, unique
  // (N) px, of each image as packed, before it was resized or cut; both empty where not known.
  std::vector<int32_t> image_heights, image_widths;

  ValueKind value_kind = ValueKind::kProbabilities;
  ValueType value_type = ValueType::kFloat32;  // mask probabilities are kUint16 whatever this says
  std::vector<float> probabilities;            // (N, K) multi-label and single label
  std::vector<float> logits;   // (N, K), masks concatenated (K, H_n, W_n); only where value_kind is
                               // one of logits, and then instead of probabilities
  std::vector<float> targets;  // (N, K) multi-label, -1 unknown; empty without labels
  std::vector<int64_t> class_targets;  // (N) single label, -1 without label; empty without labels

  // Segmentation: per sample a map of K probabilities in 1/65535 steps, (K, H, W), and the mask (H,
  // W) of class indices.
  std::vector<int32_t> mask_heights;         // (N)
  std::vector<int32_t> mask_widths;          // (N)
  std::vector<uint16_t> mask_probabilities;  // concatenated (K, H_n, W_n)
  std::vector<uint8_t> mask_targets;  // concatenated (H_n, W_n), 255 ignored; empty without labels

  int64_t num_samples() const { return static_cast<int64_t>(keys.size()); }
  int64_t num_classes() const { return static_cast<int64_t>(classes.size()); }
  bool has_logits() const { return value_kind != ValueKind::kProbabilities; }
  // How the values lie in the file.
  ValueType stored_type() const {
    return task == PredictionTask::kSegmentation && !has_logits() ? ValueType::kUint16 : value_type;
  }
  // XXH3-128 over all that the set says: what keys.json holds, values and targets. Of a set that
  // was read from version 1: values_digest(), as its file has it. Errors: DataError for text that
  // is not UTF-8.
  std::string digest() const;
  // XXH3-128 over keys, values and targets alone: equal for repetitions under another name.
  std::string values_digest() const;

  // Writes a finished directory atomically; replaces an existing one.
  void save(const std::filesystem::path& directory) const;
  // Versions 1 and 2. Errors: IoError; DataError for a damaged file, sizes that do not fit,
  // unsorted or duplicate keys, probabilities outside [0, 1] or NaN.
  static PredictionSet load(const std::filesystem::path& directory);
};

}  // namespace podium::metrics
