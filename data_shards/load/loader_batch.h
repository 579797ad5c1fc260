// One batch in the making: its memory, and what a loader thread writes into each slot. Read next:
// loader_batch.cpp, loader.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "data_shards/load/loader.h"

namespace podium::data_shards {

// Float memory that batches give back when their last tensor dies, so that an epoch touches no
// fresh pages. Threads: safe; tensors may outlive the pool's owner.
class BatchMemory : public std::enable_shared_from_this<BatchMemory> {
 public:
  struct Free {
    void operator()(float* values) const { std::free(values); }
  };
  // Starts at a cache line, so that vectors of a row do not lie in two.
  struct Block {
    std::unique_ptr<float[], Free> values;
    size_t size = 0;
  };
  explicit BatchMemory(bool pin_memory) : pin_memory_(pin_memory) {}
  at::Tensor take(const std::vector<int64_t>& shape);

 private:
  bool pin_memory_;
  std::mutex mutex_;
  std::vector<Block> free_;
};

// A batch whose slots are being filled. Slot i is written by one thread; the rest belongs to the
// consumer.
struct PendingBatch {
  MicroBatchPlan plan;
  std::shared_ptr<const TransformPipeline> transforms;  // with the choices of this batch made
  Batch batch;
  // Where image sizes differ: the image of each slot, and its mask.
  std::vector<at::Tensor> loose_images;
  std::vector<cv::Mat> loose_masks;
  std::vector<std::exception_ptr> errors;  // (B)
  int64_t next_slot = 0;                   // guarded by the loader's mutex
  int64_t num_missing = 0;                 // guarded by the loader's mutex

  int64_t size() const { return static_cast<int64_t>(plan.indices.size()); }
  int64_t height() const { return transforms->output_size()[0]; }  // px; 0: depends on the image
  int64_t width() const { return transforms->output_size()[1]; }
};

// Fills slots; shared by all threads.
class SlotFiller {
 public:
  // Errors: DataError when an image member that is asked for is not in the data set.
  SlotFiller(std::shared_ptr<const Dataset> dataset,
             std::shared_ptr<const TransformPipeline> transforms, bool is_training,
             const LoaderOptions& options);

  // Allocates the tensors of a plan.
  std::unique_ptr<PendingBatch> start(MicroBatchPlan plan) const;
  // Reads, decodes and transforms sample `slot`. Errors: of the sample, with its place. Threads:
  // any, one per slot.
  void fill(PendingBatch* pending, int64_t slot) const;
  // The finished batch. Bad samples are replaced (training) or left out (evaluation) and appended
  // to `bad_samples` by position, or rethrown. An evaluation batch may come out empty.
  Batch finish(PendingBatch* pending,
               std::vector<std::pair<int64_t, BadSample>>* bad_samples) const;

 private:
  void give_hints(int64_t index) const;
  bool is_cached(int64_t index) const;
  const MemberRecord& image_member(const SampleRecord& sample, const std::string& extension) const;
  [[noreturn]] void fail_without(const SampleRecord& sample, const std::string& extension) const;
  const std::string& chosen_member(uint64_t epoch, const SampleRecord& sample) const;
  cv::Mat read_mask(const SampleRecord& sample, int64_t index, std::string* buffer) const;
  at::Tensor run_transforms(const TransformPipeline& transforms, int64_t index,
                            const SampleRecord& sample, const MemberRecord& image, cv::Mat* mask,
                            const Rng& rng, float* output) const;
  void write_labels(PendingBatch* pending, int64_t slot, const SampleRecord& sample) const;
  void stack_loose(PendingBatch* pending, const std::vector<int64_t>& good_slots) const;
  void copy_slot(PendingBatch* pending, int64_t from, int64_t to) const;

  std::shared_ptr<const Dataset> dataset_;
  std::shared_ptr<const TransformPipeline> transforms_;
  bool is_training_;
  LoaderOptions options_;
  SampleReader reader_;
  bool pin_memory_;
  std::shared_ptr<BatchMemory> memory_;
  std::vector<std::string> image_members_;
  bool has_masks_ = false;
  bool is_fixed_size_ = false;
};

}  // namespace podium::data_shards
