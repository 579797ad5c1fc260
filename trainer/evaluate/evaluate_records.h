// What an evaluation knows about its samples, in a form that ranks exchange as bytes. Read next:
// evaluate.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "data_shards/format/dataset.h"
#include "metrics/prediction_set.h"
#include "trainer/recipe/class_info.h"

namespace podium::trainer {

// Columns over N samples; only those of the task are used.
struct EvaluationRecords {
  std::vector<int64_t> indices;          // (N) position in the data set
  std::vector<float> probabilities;      // (N, K)
  std::vector<float> class_vectors;      // (N, K)
  std::vector<int64_t> class_indices;    // (N)
  std::vector<int32_t> heights, widths;  // (N) px
  std::vector<uint16_t>
      maps;  // concatenated (K, H_n, W_n), 1/65535 steps; only when predictions are kept
  std::vector<uint8_t> masks;          // concatenated (H_n, W_n); only when predictions are kept
  std::vector<int64_t> confusions;     // (N, K, K) pixels
  std::vector<int64_t> batch_numbers;  // (batches)
  std::vector<int64_t> batch_sizes;    // samples
  std::vector<double> batch_losses;

  std::string to_bytes() const;
  // Appends the columns of another rank.
  void append(std::string_view bytes);
};

// The metrics listed in evaluate.h. `batch_size`: for val_mean_iou_per_batch, whose batches are
// consecutive samples.
std::map<std::string, double> metrics_of(const EvaluationRecords& records, const ClassInfo& info,
                                         bool has_labels, bool has_loss, int64_t batch_size);

// Sorted by key, with the sizes of the images as packed. kind, name, model_group, fold and weights
// are left to the caller.
metrics::PredictionSet predictions_of(const EvaluationRecords& records, const ClassInfo& info,
                                      const data_shards::Dataset& dataset, bool has_labels);

}  // namespace podium::trainer
