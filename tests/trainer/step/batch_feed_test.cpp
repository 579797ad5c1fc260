// Proves that micro-batches reach the device in the loader's order, each copied before it is used
// and at most one ahead.
#include "trainer/step/batch_feed.h"

#include <ATen/ops/full.h>
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "base/error.h"

namespace podium::trainer {
namespace {

using data_shards::Batch;
using data_shards::Task;
using testing::ElementsAre;

// Copies at once and notes what it was asked.
class RecordingStream : public CopyStream {
 public:
  torch::Tensor copy(const torch::Tensor& pinned) override {
    calls.push_back("copy " + std::to_string(pinned.flatten()[0].item<int64_t>()));
    return pinned.clone();
  }
  void wait() override { calls.emplace_back("wait"); }
  std::vector<std::string> calls;
};

// `count` batches whose images hold 10, 11, ... and whose class indices hold 20, 21, ...
std::function<std::optional<Batch>()> numbered_batches(int count) {
  return [count, i = 0]() mutable -> std::optional<Batch> {
    if (i == count) return std::nullopt;
    Batch batch;
    batch.images = at::full({1, 1, 1, 1}, 10.0f + static_cast<float>(i));
    batch.class_indices = at::full({1}, int64_t{20} + i++, at::kLong);
    return batch;
  };
}

int64_t value_of(const torch::Tensor& tensor) { return tensor.flatten()[0].item<int64_t>(); }

TEST(BatchFeed, CopiesOneAheadAndWaitsBeforeUse) {
  RecordingStream stream;
  BatchFeed feed(numbered_batches(2), Task::kSingleLabel, at::kCPU, &stream);
  EXPECT_EQ(value_of(feed.next().images), 10);
  feed.prefetch();
  feed.prefetch();
  const DeviceBatch second = feed.next();
  EXPECT_EQ(value_of(second.images), 11);
  EXPECT_EQ(value_of(second.targets), 21);
  EXPECT_EQ(value_of(second.host.class_indices), 21);
  feed.prefetch();
  EXPECT_THAT(stream.calls,
              ElementsAre("copy 10", "copy 20", "wait", "copy 11", "copy 21", "wait"));
  EXPECT_THROW(feed.next(), InternalError);
}

TEST(BatchFeed, OnACpuNothingIsReadAheadOrCopied) {
  int num_reads = 0;
  Batch batch;
  batch.images = at::full({1, 1, 1, 1}, 3.0f);
  batch.masks = at::full({1, 1, 1}, int64_t{1}, at::kLong);
  BatchFeed feed([&]() -> std::optional<Batch> { return ++num_reads, batch; }, Task::kSegmentation,
                 at::kCPU, nullptr);
  const DeviceBatch first = feed.next();
  feed.prefetch();
  EXPECT_EQ(num_reads, 1);
  EXPECT_TRUE(first.images.is_same(batch.images));
  EXPECT_TRUE(first.targets.is_same(batch.masks));
}

}  // namespace
}  // namespace podium::trainer
