// The evaluation loop and the join over ranks.
#include "trainer/evaluate/evaluate.h"

#include <fmt/format.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <bit>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data_shards/plan/plan_stream.h"
#include "distributed/agreement.h"
#include "metrics/segmentation.h"
#include "trainer/evaluate/evaluate_records.h"
#include "trainer/step/forward_pass.h"
#include "trainer/step/train_loop.h"

namespace podium::trainer {

using data_shards::Batch;
using data_shards::Task;
using Json = nlohmann::json;

namespace {

template <typename T>
void append(std::vector<T>& values, const torch::Tensor& tensor) {
  const torch::Tensor flat = tensor.contiguous();
  const T* data = static_cast<const T*>(flat.const_data_ptr());
  values.insert(values.end(), data, data + flat.numel());
}

// Steps of 1/65535, as prediction sets keep them; decisions are taken on these, so that they can be
// repeated from the set.
void add_masks(const torch::Tensor& probabilities, const Batch& batch, const ClassInfo& info,
               bool has_labels, bool keep_predictions, EvaluationRecords& records) {
  const torch::Tensor steps = (probabilities * 65535.0).round().to(torch::kInt32);  // (B, K, H, W)
  const torch::Tensor decided = steps.argmax(1).to(torch::kUInt8).contiguous();     // (B, H, W)
  const int64_t num_pixels = decided.size(1) * decided.size(2);
  for (int64_t b = 0; b < batch.size(); ++b) {
    records.heights.push_back(static_cast<int32_t>(decided.size(1)));
    records.widths.push_back(static_cast<int32_t>(decided.size(2)));
  }
  if (keep_predictions) append(records.maps, steps.to(torch::kUInt16));
  if (!has_labels) return;
  const torch::Tensor masks = batch.masks.to(torch::kUInt8).contiguous();
  if (keep_predictions) append(records.masks, masks);
  for (int64_t b = 0; b < batch.size(); ++b) {
    metrics::Confusion confusion(info.num_classes());
    const auto pixels = static_cast<size_t>(num_pixels);
    confusion.add({masks.const_data_ptr<uint8_t>() + b * num_pixels, pixels},
                  {decided.const_data_ptr<uint8_t>() + b * num_pixels, pixels});
    records.confusions.insert(records.confusions.end(), confusion.counts.begin(),
                              confusion.counts.end());
  }
}

// Overflowed weights show here first when an epoch's last update made them.
void require_finite(const torch::Tensor& logits, const Batch& batch) {
  if (torch::isfinite(logits).all().item<bool>()) return;
  for (int64_t b = 0; b < batch.size(); ++b) {
    if (torch::isfinite(logits[b]).all().item<bool>()) continue;
    throw DivergedError(fmt::format(
        "the model gives NaN or Inf for sample \"{}\": its weights have diverged; lower "
        "optimizer.lr, add a warm-up, or set train.clip_grad_norm",
        batch.keys[static_cast<size_t>(b)]));
  }
}

void add_batch(models::VisionModel& model, const Batch& batch, int64_t number,
               const ForwardPass& forward, const EvaluationOptions& options,
               EvaluationRecords& records) {
  const bool has_labels = options.dataset->has_labels();
  const torch::Tensor logits = forward(model, batch.images).logits;
  require_finite(logits, batch);
  if (has_labels && options.loss != nullptr) {
    const torch::Tensor targets = targets_of(batch, options.info.task, forward.device());
    records.batch_numbers.push_back(number);
    records.batch_sizes.push_back(batch.size());
    records.batch_losses.push_back((*options.loss)(logits, targets).item<double>());
  }
  const torch::Tensor probabilities = probabilities_of(logits, options.info).to(torch::kCPU);
  records.indices.insert(records.indices.end(), batch.indices.begin(), batch.indices.end());
  if (options.info.task == Task::kSegmentation) {
    add_masks(probabilities, batch, options.info, has_labels, options.keep_predictions, records);
    return;
  }
  append(records.probabilities, probabilities);
  if (!has_labels) return;
  if (options.info.task == Task::kMultiLabel) append(records.class_vectors, batch.class_vectors);
  if (options.info.task == Task::kSingleLabel) append(records.class_indices, batch.class_indices);
}

// All ranks' records on rank 0; its own on the others.
EvaluationRecords join(EvaluationRecords local, Communicator& communicator) {
  if (communicator.world_size() == 1) return local;
  const std::vector<std::string> all = communicator.all_gather_bytes(local.to_bytes());
  if (communicator.rank() != 0) return local;
  EvaluationRecords joined;
  for (const std::string& bytes : all) joined.append(bytes);
  return joined;
}

// The double itself, so that NaN and every last bit arrive.
std::map<std::string, double> share_metrics(const std::map<std::string, double>& metrics,
                                            Communicator& communicator) {
  const std::string text = on_rank_zero(communicator, [&] {
    Json row = Json::object();
    for (const auto& [name, value] : metrics) row[name] = std::bit_cast<uint64_t>(value);
    return row.dump();
  });
  std::map<std::string, double> shared;
  const Json rows = Json::parse(text);
  for (const auto& [name, bits] : rows.items()) {
    shared[name] = std::bit_cast<double>(bits.get<uint64_t>());
  }
  return shared;
}

// Puts the model's mode back whatever happens.
class EvaluationMode {
 public:
  explicit EvaluationMode(models::VisionModel& model)
      : model_(model), was_training_(model.is_training()) {
    model_.eval();
  }
  ~EvaluationMode() { model_.train(was_training_); }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  models::VisionModel& model_;
  bool was_training_;
};

}  // namespace

Evaluation evaluate(models::VisionModel& model, Communicator& communicator,
                    const data_shards::SampleList& indices, const EvaluationOptions& options) {
  const EvaluationMode mode(model);
  const torch::InferenceMode no_gradients;
  const auto plans = data_shards::plan_evaluation(indices, options.batch_size, communicator.rank(),
                                                  communicator.world_size());
  const ForwardPass forward(communicator.device(), options.precision, options.is_channels_last);
  data_shards::Loader loader(options.dataset, options.transforms, data_shards::stream_plans(plans),
                             /*is_training=*/false, options.loader);

  EvaluationRecords local;
  for (const data_shards::MicroBatchPlan& plan : plans) {
    const std::optional<Batch> batch = loader.next();
    if (!batch) throw InternalError("the evaluation loader ended before the last batch");
    if (batch->size() == 0) continue;  // all of its samples were bad
    add_batch(model, *batch, plan.step, forward, options, local);
  }
  Evaluation result;
  result.bad_samples = gather_bad_samples(loader.bad_samples(), communicator);
  const EvaluationRecords all = join(std::move(local), communicator);
  const bool has_labels = options.dataset->has_labels();
  if (communicator.rank() == 0) {
    result.metrics =
        metrics_of(all, options.info, has_labels, options.loss != nullptr, options.batch_size);
    if (options.keep_predictions) {
      result.predictions = predictions_of(all, options.info, *options.dataset, has_labels);
    }
  }
  result.metrics = share_metrics(result.metrics, communicator);
  return result;
}

std::vector<data_shards::BadSample> gather_bad_samples(
    const std::vector<data_shards::BadSample>& local, Communicator& communicator) {
  Json rows = Json::array();
  for (const auto& sample : local) rows.push_back({sample.place, sample.reason});
  std::vector<data_shards::BadSample> joined;
  for (const std::string& bytes :
       communicator.all_gather_bytes(rows.dump(-1, ' ', false, Json::error_handler_t::replace))) {
    const Json others = Json::parse(bytes);
    for (const Json& row : others) joined.push_back({row.at(0), row.at(1)});
  }
  return joined;
}

torch::Tensor probabilities_of(const torch::Tensor& logits, const ClassInfo& info) {
  if (info.activation == Activation::kSoftmax) return torch::softmax(logits, 1);
  const torch::Tensor positive = torch::sigmoid(logits);
  return info.is_binary_mask ? torch::cat({1.0 - positive, positive}, 1) : positive;
}

}  // namespace podium::trainer
