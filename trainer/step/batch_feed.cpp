// Hand-over of micro-batches from the loader to the device.
#include "trainer/step/batch_feed.h"

#include <utility>

#include "base/error.h"

namespace podium::trainer {

using data_shards::Batch;
using data_shards::Task;

BatchFeed::BatchFeed(std::function<std::optional<Batch>()> source, Task task, torch::Device device,
                     CopyStream* stream)
    : source_(std::move(source)), task_(task), device_(device), stream_(stream) {}

torch::Tensor BatchFeed::copy(const torch::Tensor& host) {
  return stream_ != nullptr ? stream_->copy(host) : host.to(device_, /*non_blocking=*/true);
}

std::optional<DeviceBatch> BatchFeed::start() {
  std::optional<Batch> host = source_();
  if (!host) return std::nullopt;
  DeviceBatch batch;
  batch.images = copy(host->images);
  batch.targets = copy(host_targets(*host, task_));
  batch.host = std::move(*host);
  return batch;
}

DeviceBatch BatchFeed::next() {
  std::optional<DeviceBatch> batch = started_ ? std::exchange(started_, std::nullopt) : start();
  if (!batch) throw InternalError("the training loader ended before the last step");
  if (stream_ != nullptr) stream_->wait();
  return std::move(*batch);
}

void BatchFeed::prefetch() {
  if (stream_ != nullptr && !started_) started_ = start();
}

const torch::Tensor& host_targets(const Batch& batch, Task task) {
  return task == Task::kMultiLabel    ? batch.class_vectors
         : task == Task::kSingleLabel ? batch.class_indices
                                      : batch.masks;
}

}  // namespace podium::trainer
