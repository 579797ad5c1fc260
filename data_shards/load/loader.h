// The loader: threads in this process that read, decode and transform straight into batch memory,
// in plan order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data_shards/decode/decoded_cache.h"
#include "data_shards/format/bad_sample.h"
#include "data_shards/format/dataset.h"
#include "data_shards/format/sample_reader.h"
#include "data_shards/load/batch.h"
#include "data_shards/plan/sampler.h"
#include "data_shards/transform/transforms.h"

namespace podium::data_shards {

// Which of a sample's images becomes the input.
enum class ImagePolicy {
  kFirst,   // the first of image_members
  kRandom,  // one of them, drawn by (seed, epoch, sample)
};

struct LoaderOptions {
  uint64_t seed = 0;
  int num_threads = 2;
  int prefetch_batches = 4;
  bool pin_memory = false;
  ReaderKind reader = ReaderKind::kMmap;
  bool reads_neighbours = false;  // what lies behind a sample is read soon: let the kernel fetch it
  bool skip_bad_samples = false;  // false: the first bad sample ends the run with its DataError
  std::vector<std::string> image_members;  // empty: all of the data set
  ImagePolicy image_policy = ImagePolicy::kFirst;
  std::shared_ptr<DecodedCache> cache;  // of the same data set; null: everything is decoded
};

// Delivers the batches of a stream of plans in order, with at most `prefetch_batches` ahead of the
// consumer. Masks are undefined for a data set without labels; its class vectors hold
// kUnknownLabel. With skip_bad_samples a bad sample's slot is filled with the next good sample of
// the batch in training (so shapes stay), left out in evaluation, and listed in bad_samples().
class Loader {
 public:
  // `next_plan` returns the plans one after another, nullopt at the end. It is called by the
  // constructor and next(), on their thread. Errors: DataError for an unknown image member or a cut
  // shard, IoError; RecipeError without threads or prefetching.
  Loader(std::shared_ptr<const Dataset> dataset,
         std::shared_ptr<const TransformPipeline> transforms,
         std::function<std::optional<MicroBatchPlan>()> next_plan, bool is_training,
         LoaderOptions options);
  ~Loader();  // stops the threads
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // The next batch; nullopt after the last. Rethrows the error of a sample when its batch is due.
  std::optional<Batch> next();
  // Seconds that next() has waited for data since construction.
  double wait_seconds() const;
  // Named in data order; complete once the batches before have been delivered.
  std::vector<BadSample> bad_samples() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace podium::data_shards
