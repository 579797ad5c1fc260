// A prediction set: what a model says about each sample, joined by key. Written by `train` and
// `predict`, read by `gather`. Format: docs/formats.md. A directory with predictions.safetensors,
// keys.json and DONE.
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
std::string kind_name(PredictionKind kind);  // "out_of_fold", "test"
std::string task_name(PredictionTask task);  // "multi_label", ...

// Probabilities (activation already applied) of N samples, sorted by key.
struct PredictionSet {
  PredictionKind kind = PredictionKind::kOutOfFold;
  PredictionTask task = PredictionTask::kMultiLabel;
  std::string name;         // of the trial: "sharpening/fold0"
  std::string model_group;  // trials that differ only in the fold: "sharpening"; folds of a group
                            // are joined / averaged
  int64_t fold = -1;        // validation fold of the trial, -1: none
  std::string class_hash;
  std::string data_digest;
  std::vector<std::string> classes;  // (K)
  std::vector<std::string> keys;     // (N) ascending, unique

  std::vector<float> probabilities;    // (N, K) multi-label and single label
  std::vector<float> targets;          // (N, K) multi-label, -1 unknown; empty without labels
  std::vector<int64_t> class_targets;  // (N) single label, -1 without label; empty without labels

  // Segmentation: per sample a map of K probabilities in 1/65535 steps, (K, H, W), and the mask (H,
  // W) of class indices.
  std::vector<int32_t> mask_heights;         // (N)
  std::vector<int32_t> mask_widths;          // (N)
  std::vector<uint16_t> mask_probabilities;  // concatenated (K, H_n, W_n)
  std::vector<uint8_t> mask_targets;  // concatenated (H_n, W_n), 255 ignored; empty without labels

  int64_t num_samples() const { return static_cast<int64_t>(keys.size()); }
  int64_t num_classes() const { return static_cast<int64_t>(classes.size()); }
  // XXH3-128 over keys and values.
  std::string digest() const;

  // Writes a finished directory atomically; replaces an existing one.
  void save(const std::filesystem::path& directory) const;
  // Errors: DataError for sizes that do not fit, unsorted or duplicate keys, probabilities outside
  // [0, 1] or NaN.
  static PredictionSet load(const std::filesystem::path& directory);
};

}  // namespace podium::metrics
