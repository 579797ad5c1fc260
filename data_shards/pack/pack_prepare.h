// One sample's files, read, checked and put into the form they are stored in. Read next:
// pack_shard.h.
#pragma once

#include <cstddef>
#include <exception>
#include <string>
#include <vector>

#include "base/progress.h"
#include "data_shards/format/dataset.h"
#include "data_shards/pack/pack_plan.h"

namespace podium::data_shards {

struct PreparedSample {
  SampleRecord record;             // offsets are not set yet
  std::vector<std::string> bytes;  // of each member
  std::vector<BadSample> bad;      // not empty: the sample is left out
  std::exception_ptr error;        // set: packing ends when it is this sample's turn
  bool has_ignored_orientation = false;

  int64_t tar_bytes() const;  // with its headers
};

// Errors: DataError / IoError with the file, without the sample's place.
void prepare_sample(const PackPlan& plan, const PackOptions& options, const PackSample& sample,
                    PreparedSample* prepared);

// The samples of a plan in order, prepared on `num_threads` threads, a bounded number ahead.
class PreparedStream {
 public:
  PreparedStream(const PackPlan& plan, const PackOptions& options, Progress* progress)
      : plan_(plan), options_(options), progress_(progress) {}

  bool is_at_end() const { return position_ == plan_.samples.size(); }
  size_t position() const { return position_; }  // of the next sample
  // Goes on at a later sample. Requires: position >= position().
  void skip_to(size_t position);
  // The next sample; stays so until pop(). Errors: those of prepare_sample with the sample's place,
  // unless skip_bad_samples.
  PreparedSample& peek();
  void pop() { ++position_; }
  int64_t num_ignored_orientations() const { return num_ignored_orientations_; }

 private:
  void prepare_chunk();

  const PackPlan& plan_;
  const PackOptions& options_;
  Progress* progress_;
  size_t position_ = 0;
  size_t first_in_chunk_ = 0;  // position of chunk_[0]
  std::vector<PreparedSample> chunk_;
  int64_t num_ignored_orientations_ = 0;
};

}  // namespace podium::data_shards
