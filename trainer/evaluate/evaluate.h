// Evaluation and prediction: every sample once, whatever the number of workers, joined by sample.
// Read next: evaluate_records.h (what ranks exchange), predict.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data_shards/load/loader.h"
#include "distributed/communicator.h"
#include "metrics/prediction_set.h"
#include "models/interface/vision_model.h"
#include "trainer/losses/loss.h"
#include "trainer/recipe/class_info.h"

namespace podium::trainer {

struct EvaluationOptions {
  std::shared_ptr<const data_shards::Dataset> dataset;
  std::shared_ptr<const data_shards::TransformPipeline> transforms;
  data_shards::LoaderOptions loader;
  ClassInfo info;
  int64_t batch_size = 32;
  std::string precision = "fp32";  // "fp32", "bf16", "fp16"
  bool is_channels_last = false;   // memory order of images
  bool keep_predictions = false;
  const Loss* loss = nullptr;  // null: no val_loss
};

struct Evaluation {
  // Equal on all ranks, empty without labels: val_loss and
  //   multi-label   val_map, val_macro_f1 (threshold 0.5)
  //   single label  val_accuracy, val_macro_f1
  //   masks         val_dice (mean over the classes but the first), val_mean_iou_per_batch,
  //   val_mean_iou_global, val_mean_iou_per_image
  std::map<std::string, double> metrics;
  // Rank 0, when kept: probabilities, targets and keys sorted by key; the caller names the set.
  metrics::PredictionSet predictions;
  std::vector<data_shards::BadSample> bad_samples;  // of all ranks
};

// Evaluates `indices` (positions in the data set) with the model in evaluation mode; its mode is
// put back. Batches are the same for any number of ranks; metrics are computed once, on rank 0, in
// double precision. Collective: all ranks, same order; blocks.
Evaluation evaluate(models::VisionModel& model, Communicator& communicator,
                    const data_shards::SampleList& indices, const EvaluationOptions& options);

// Those of all ranks, in rank order. Collective: all ranks; blocks.
std::vector<data_shards::BadSample> gather_bad_samples(
    const std::vector<data_shards::BadSample>& local, Communicator& communicator);

// The activation, applied here and nowhere else. Shapes: logits (B, K) -> (B, K); (B, K, H, W) ->
// same; (B, 1, H, W) with is_binary_mask -> (B, 2, H, W).
torch::Tensor probabilities_of(const torch::Tensor& logits, const ClassInfo& info);

}  // namespace podium::trainer
