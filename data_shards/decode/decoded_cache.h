// Decoded images and masks, kept in memory or on a local disk for the epochs to come. Format:
// docs/formats.md. Read next: cached_image.h, loader_batch.cpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <opencv2/core/mat.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data_shards/format/dataset.h"

namespace podium::data_shards {

struct DecodedCacheOptions {
  std::filesystem::path directory;  // of the file that all processes of a node share; empty: in the
                                    // memory of this process
  int64_t max_bytes = 0;            // of pixels
};

// One member of a data set, decoded.
struct DecodedMember {
  cv::Mat pixels;  // (H, W) RGB (CV_8UC3), or CV_8UC1 for a mask. Read-only; lives as long as the
                   // cache
  int width = 0;   // of the image before its reduction, px
  int height = 0;
  bool can_reduce = false;  // ImageSource::can_reduce() of the image
};

// Pixels by member and denominator. What is kept is what came first, as much as there is room for;
// nothing is replaced. A file outlives the process, and other runs go on with it. Which pixels are
// found never changes what they are: they are those of the decoder, and a block whose checksum is
// wrong is forgotten and counted. Threads: all functions, from any number of threads and processes.
class DecodedCache {
 public:
  // Makes or opens the file; one that is damaged or cut is made anew.
  // Errors: IoError when the file cannot be made.
  DecodedCache(std::shared_ptr<const Dataset> dataset, const DecodedCacheOptions& options);
  ~DecodedCache();
  DecodedCache(const DecodedCache&) = delete;
  DecodedCache& operator=(const DecodedCache&) = delete;

  // Number of an image or mask member of sample `index`, for the functions below; -1 for others.
  int64_t number_of(int64_t index, const std::string& extension) const;
  std::optional<DecodedMember> find(int64_t number, int denominator);
  // With any denominator, for what is known of the image.
  std::optional<DecodedMember> find_any(int64_t number);
  // True when find_any() would find something, unless it is damaged; looks at no pixel.
  bool holds(int64_t number) const;
  // Keeps a copy, if there is room. A disk that is full, or fails, is a warning, and nothing more
  // is kept by this process.
  void store(int64_t number, int denominator, const DecodedMember& member);
  // False when store() would not keep so many bytes of pixels.
  bool has_room(int64_t num_bytes) const;
  // "1204 images and masks, 2.3 GB of 4.3 GB".
  std::string summary() const;
  int64_t num_kept() const;     // by all processes that share the file
  int64_t num_damaged() const;  // found by this process

 private:
  struct Header;
  struct Block;
  void open_file(const std::filesystem::path& directory);
  bool is_whole(int descriptor) const;
  void initialise(int descriptor, const std::filesystem::path& file) const;
  void map_file();
  Header& header() const;
  std::atomic<uint64_t>& place(int64_t entry) const;
  bool is_intact(int64_t entry, const Block& block);
  static DecodedMember member_of(const Block& block);
  std::optional<uint64_t> reserve(uint64_t num_bytes);
  bool write_at(uint64_t offset, const Block& block, const cv::Mat& pixels);
  void forget(int64_t entry, uint64_t offset);

  std::shared_ptr<const Dataset> dataset_;
  int64_t num_members_ = 0;  // of a sample: its images and the mask
  int64_t num_entries_ = 0;
  std::string identity_;  // 32 hex digits: of the data, the decoder and the layout
  uint64_t first_ = 0;    // byte of the first block
  uint64_t end_ = 0;      // byte where this process stops writing
  uint64_t mapped_ = 0;   // bytes of the file
  std::string name_;      // for messages
  int descriptor_ = -1;
  char* table_ = nullptr;                       // header and table, shared and writable
  const char* bytes_ = nullptr;                 // the whole file
  std::vector<std::atomic<uint64_t>> checked_;  // one bit per entry
  std::atomic<bool> is_failing_ = false;        // writing has failed
  std::atomic<int64_t> num_damaged_ = 0;
};

}  // namespace podium::data_shards
