// `podium pack`: competition layouts -> shards. Read next: layout_table.h, ../format/tar_writer.h,
// ../format/dataset.h; format: docs/formats.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/rle.h"
#include "data_shards/format/bad_sample.h"
#include "data_shards/format/task.h"

namespace podium::data_shards {

enum class MaskOverlap { kLater, kSmaller };         // which annotation is on top (coco)
enum class CrowdRegions { kClass, kIgnore, kSkip };  // coco: drawn; value 255; left out

// What is done to images and masks before they are stored; nothing by default. Sizes in px.
struct ImageRewrite {
  bool decode = false;   // store pixels (.npy) instead of files
  int resize_width = 0;  // 0: as they are
  int resize_height = 0;
  int max_side = 0;         // 0: any; larger images are reduced, keeping their shape
  bool is_upright = false;  // turn by the EXIF orientation
  int jpeg_quality = 95;    // of JPEGs that are encoded anew
  int jpeg_restart_px = 0;  // JPEGs get restart markers so many px apart or less; 0: as they are
  bool changes_pixels() const { return resize_width > 0 || max_side > 0; }
};

struct PackOptions {
  std::string layout = "multilabel_csv";  // one of layout_table()
  std::filesystem::path input;            // see the layout's row
  std::filesystem::path
      images;  // folder that relative image paths start from; empty: the folder of `input`
  std::filesystem::path output;
  int64_t max_shard_bytes = int64_t{256} << 20;
  int num_threads = 0;               // 0 = available cores
  bool skip_bad_samples = false;     // --on_bad_sample=skip: leave out, count and list
  bool is_overwrite = false;         // replace an existing finished set
  std::vector<std::string> classes;  // image_mask: names of the mask values 0..K-1; paired_csv:
                                     // order of the classes. Empty: from the CSV header, sorted
                                     // labels or folders; masks: background, foreground
  std::string prefix = "data";       // shard names: prefix-000000.tar
  ImageRewrite rewrite;
  RleOrder rle_order = RleOrder::kRowMajor;   // rle_csv
  MaskOverlap overlap = MaskOverlap::kLater;  // coco
  CrowdRegions crowd = CrowdRegions::kClass;  // coco
  std::string group_column;                   // CSVs: samples of a group stay in one fold
  std::string mask_member = "mask.png";       // webdataset: the member that holds the mask
  std::optional<Task> task;                   // npy, webdataset: where no label tells it
};

struct PackResult {
  int64_t num_samples = 0;
  int64_t num_shards = 0;
  std::vector<BadSample> bad_samples;
};

// Deterministic (same input, same bytes, any number of threads), resumable (finished shards of a
// killed run are kept when their input is unchanged) and atomic (no DONE until all is there).
// Errors: DataError with file:line for a bad row, an unreadable image, a mask of another size, a
// duplicate key, an empty class name or a class without samples (class folders); IoError.
PackResult pack(const PackOptions& options);

}  // namespace podium::data_shards
