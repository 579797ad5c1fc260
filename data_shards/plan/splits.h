// Folds of a data set: made by `podium split`, kept in folds.json. Format: docs/formats.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data_shards/format/dataset.h"
#include "data_shards/plan/sample_list.h"

namespace podium::data_shards {

// Which samples validate in which fold. Groups never separate.
struct Folds {
  std::string method;       // "kfold", "holdout", "best_of_random"
  std::string data_digest;  // Dataset::digest() of the data set it was made for
  uint64_t seed = 0;
  int64_t num_folds = 0;          // 1 for hold-outs
  std::vector<std::string> keys;  // in data set order
  std::vector<int32_t> fold_of;   // fold in which the key validates; -1: always trains

  // Positions in `dataset` that train / validate in `fold`, ascending.
  // Errors: DataError when folds and data set do not fit ("made for another data set; run podium
  // split again").
  SampleList train_indices(const Dataset& dataset, int64_t fold) const;
  SampleList val_indices(const Dataset& dataset, int64_t fold) const;

  void save(const std::filesystem::path& file) const;
  // Errors: IoError, DataError with the file and what is missing.
  static Folds load(const std::filesystem::path& file);
};

enum class SplitMethod { kHoldout, kKfold, kBestOfRandom };

struct SplitOptions {
  SplitMethod method = SplitMethod::kKfold;
  int64_t num_folds = 5;      // kKfold
  double val_fraction = 0.2;  // kHoldout, kBestOfRandom
  int64_t num_tries = 100;    // kBestOfRandom
  uint64_t seed = 0;
};

// How well a split keeps the class ratios.
struct SplitQuality {
  double std_of_ratio_differences =
      0;  // sigma over classes of 100 (train ratio - val ratio), worst fold (ddof 0)
  double label_distribution =
      0;  // mean over labels and folds of |share in the fold - share in all|
  std::vector<std::vector<int64_t>>
      counts;  // (folds, K) positives (pixels for masks: images with the class)
};

// Multi-label: iterative stratification (Sechidis, Tsoumakas, Vlahavas, ECML PKDD 2011), ties by
// counter-based key; single label: its special case, stratified K-fold; segmentation: on the
// presence of each class. Groups move as one. Deterministic in (data set, options). Errors:
// DataError when there are fewer groups than folds.
Folds make_folds(const Dataset& dataset, const SplitOptions& options);
SplitQuality measure_split(const Dataset& dataset, const Folds& folds);

}  // namespace podium::data_shards
