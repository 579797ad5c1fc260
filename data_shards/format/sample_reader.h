// Bytes of a sample's members, verified against their checksums at the first reading. Read next:
// decode.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "data_shards/format/dataset.h"

namespace podium::data_shards {

enum class ReaderKind { kMmap, kPread };  // local disks; network file systems

// Files may be larger than 4 GiB, and sets of any number of shards: up to 16,384 are mapped, more
// are read by pread with a bounded number of open files. The first 1,024 shards are opened at
// construction, the others when they are needed.
// Threads: all functions may be called from any number of threads.
class SampleReader {
 public:
  // `reads_neighbours`: samples are read in an order that soon comes to those beside them, so that
  // the kernel may read ahead; otherwise it is told not to.
  SampleReader(std::shared_ptr<const Dataset> dataset, ReaderKind kind,
               bool reads_neighbours = false);
  ~SampleReader();
  // The bytes of one member; `buffer` is used by kPread and must outlive the view.
  // Errors: IoError; DataError "shard train-000012.tar: sample \"img_0042\" (offset 1536): checksum
  // ... expected ...; repack, or
  // --on_bad_sample=skip".
  std::string_view read(int64_t index, const MemberRecord& member, std::string* buffer) const;
  // Tells the kernel that the member is read soon, so that slow disks work while other samples are
  // decoded. Errors: those of opening the shard.
  void will_need(int64_t index, const MemberRecord& member) const;
  const Dataset& dataset() const { return *dataset_; }

 private:
  struct State;
  std::shared_ptr<const Dataset> dataset_;
  std::unique_ptr<State> state_;
};

}  // namespace podium::data_shards
