// The hidden folder in which a data set grows until it is whole. Read next: pack.cpp.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "data_shards/pack/pack_shard.h"

namespace podium::data_shards {

// ".NAME.packing" beside the output NAME. It outlives a killed or failed run, so that the next one
// keeps the finished shards: a shard is finished when state/NUMBER.json beside it says so, with the
// digest of the input that it was made from.
class PackWork {
 public:
  // Makes or finds the folder and locks it.
  // Errors: IoError when the output is there already or another process packs to it; UsageError
  // when is_overwrite would replace something that is no packed data set.
  PackWork(std::filesystem::path output, bool is_overwrite);
  ~PackWork();  // removes the folder when it holds no finished shard
  PackWork(const PackWork&) = delete;
  PackWork& operator=(const PackWork&) = delete;

  const std::filesystem::path& path() const { return work_; }
  // The shard of that number, beginning at sample `first`, if it was finished from the same input
  // and its files are whole. `digest_of` gives the digest of the input of a range.
  std::optional<PackedShard> find_finished(
      size_t number, const std::filesystem::path& file, size_t first,
      const std::function<std::string(ShardRange)>& digest_of) const;
  void note_finished(size_t number, const PackedShard& shard, const std::string& input_digest);
  // Ends resumability: from here on the folder holds the data set only.
  void remove_state();
  // Writes DONE and moves the folder to the output's place in one step.
  void commit();

 private:
  std::filesystem::path state_file(size_t number) const;

  std::filesystem::path output_;
  std::filesystem::path work_;
  int lock_ = -1;
  bool is_committed_ = false;
};

}  // namespace podium::data_shards
