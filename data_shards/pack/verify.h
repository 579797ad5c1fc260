// `podium verify`: checks every byte of a packed data set.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "data_shards/pack/pack.h"

namespace podium::data_shards {

struct VerifyOptions {
  std::filesystem::path data;
  std::filesystem::path folds;  // optional: also look for equal images on both sides of a split
  std::vector<std::filesystem::path> against;  // other sets: equal images in both are listed
  int num_threads = 0;
  bool skip_bad_samples = false;  // report all instead of stopping at the first
};

struct VerifyReport {
  int64_t num_samples = 0;
  int64_t num_bytes = 0;
  std::vector<std::pair<std::string, int64_t>>
      label_histogram;                  // class -> samples (pixels for masks)
  std::vector<int64_t> unknown_labels;  // per class, multi-label
  std::vector<std::pair<std::string, std::string>> duplicates;  // keys of byte-equal images
  std::vector<std::string> duplicates_across_folds;
  std::vector<std::string> duplicates_across_sets;
  std::vector<BadSample> bad_samples;
  std::string to_text() const;
};

// Shard digests and sizes, tar headers against the index, member checksums, decoding of every image
// and mask, mask values and sizes, label histogram, duplicates. Errors: DataError at the first
// problem unless skip_bad_samples.
VerifyReport verify(const VerifyOptions& options);

}  // namespace podium::data_shards
