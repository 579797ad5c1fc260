// Micro-batches on the training device. On a GPU the next one is copied on a stream of its own
// while this one is computed. Read next: train_loop.h, device_module.h.
#pragma once

#include <torch/types.h>

#include <functional>
#include <optional>

#include "data_shards/format/task.h"
#include "data_shards/load/batch.h"
#include "distributed/device_module.h"

namespace podium::trainer {

struct DeviceBatch {
  data_shards::Batch host;  // as the loader gave it
  torch::Tensor images;     // (B, C, H, W) float32
  torch::Tensor targets;    // of the task: class vectors, class indices or masks
};

class BatchFeed {
 public:
  // `source` is the loader's next(). `stream`: null on a CPU, where nothing is copied; it outlives
  // the feed.
  BatchFeed(std::function<std::optional<data_shards::Batch>()> source, data_shards::Task task,
            torch::Device device, CopyStream* stream);

  // The next micro-batch, ready for kernels of this thread. Errors: those of the source;
  // InternalError when it has ended.
  DeviceBatch next();
  // Starts copying the micro-batch after that, if there is one. Call when the kernels of the last
  // one have been launched, so that waiting for the loader does not keep the device waiting.
  void prefetch();

 private:
  std::optional<DeviceBatch> start();
  torch::Tensor copy(const torch::Tensor& host);

  std::function<std::optional<data_shards::Batch>()> source_;
  data_shards::Task task_;
  torch::Device device_;
  CopyStream* stream_;
  std::optional<DeviceBatch> started_;
};

// The member of a batch that the task's losses take, on the host.
const torch::Tensor& host_targets(const data_shards::Batch& batch, data_shards::Task task);

}  // namespace podium::trainer
