// Joining prediction sets by key: folds of a group into one, groups side by side. Out-of-fold and
// test predictions become distinct types, so that nothing can be fitted on test. Read next:
// ensemble.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "gather/sets/find_sets.h"
#include "metrics/prediction_set.h"

namespace podium::gather {

// The samples that all groups of a table share, ascending by key.
struct Samples {
  metrics::PredictionTask task = metrics::PredictionTask::kMultiLabel;
  std::string class_hash;
  std::string data_digest;
  std::vector<std::string> classes;                // (K)
  std::vector<std::string> keys;                   // (N)
  std::vector<int32_t> mask_heights, mask_widths;  // (N), segmentation
  std::vector<size_t> pixel_offsets;               // (N + 1) first pixel of each mask, segmentation

  size_t num_samples() const { return keys.size(); }
  size_t num_classes() const { return classes.size(); }
  size_t num_pixels(size_t n) const { return pixel_offsets[n + 1] - pixel_offsets[n]; }
  // Segmentation with one foreground class: K = 1 (its probability), or K = 2 (class 0 is the
  // background).
  bool is_binary_mask() const {
    return task == metrics::PredictionTask::kSegmentation && classes.size() <= 2;
  }
};

// What one model, or an ensemble, says about the samples of a table.
struct Values {
  std::vector<float> probabilities;          // (N, K)
  std::vector<uint16_t> mask_probabilities;  // concatenated (K, H_n, W_n), in 1/65535
};

struct InputFacts {
  std::filesystem::path directory;
  std::filesystem::path run_dir;
  std::string name;
  int64_t fold = -1;
  int64_t num_samples = 0;
  std::string digest;
};

struct GroupPredictions {
  std::string name;
  std::vector<InputFacts> inputs;  // by (fold, name)
  Values values;
};

// Out-of-fold predictions with their truth.
struct OofTable {
  Samples samples;
  std::vector<float> targets;            // (N, K) multi-label, -1 unknown
  std::vector<int64_t> class_targets;    // (N) single label, -1 unknown
  std::vector<uint8_t> mask_targets;     // concatenated (H_n, W_n), 255 ignored
  std::vector<int64_t> folds;            // (N) validation fold of each sample, of the first group
  std::vector<GroupPredictions> groups;  // by name
};

// Test predictions. They have no truth by construction.
struct TestTable {
  Samples samples;
  std::vector<GroupPredictions> groups;  // by name
};

// Errors: DataError when a key occurs in two folds of a group, when groups or folds differ in task,
// classes, class hash, data digest, keys, mask sizes or targets, or when targets are missing; it
// names both sets and the first differing keys.
OofTable join_oof(std::vector<LoadedSet> sets);
// As join_oof, but the folds of a group all cover the same samples and are averaged.
TestTable join_test(std::vector<LoadedSet> sets);
// Errors: DataError when classes or groups of the two tables differ.
void require_same_models(const OofTable& oof, const TestTable& test);
// Errors: DataError when `other` (a baseline) has other classes or keys.
void require_same_samples(const OofTable& oof, const OofTable& other);

}  // namespace podium::gather
