// What is to be packed: the samples of an input layout with their files and labels, in input order.
// Read next: layout_table.h, pack_shard.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <opencv2/core/mat.hpp>
#include <string>
#include <vector>

#include "data_shards/format/bad_sample.h"
#include "data_shards/format/task.h"
#include "data_shards/pack/pack.h"

namespace podium::data_shards {

// One image or mask file of a sample.
struct PackFile {
  std::string role;  // "" (the image), "lr", "hr", "mask"; the member is "ROLE.FORMAT"
  std::filesystem::path path;
  int64_t size = 0;      // bytes of the file
  int64_t mtime_ns = 0;  // since the file clock's epoch; only compared for equality
  // A part of the file, behind bytes of our own (the header of an array's slice).
  std::string prefix;
  int64_t offset = 0;
  int64_t length = -1;  // bytes; -1: the whole file

  int64_t num_bytes() const { return length < 0 ? size : std::ssize(prefix) + length; }
};

// The bytes of an image or mask. Errors: IoError names the file.
std::string read_source(const PackFile& file);

struct PackSample {
  std::string key;
  std::string group;
  std::string stem;   // of the names in the tar
  std::string place;  // "labels.csv:43" or the path below the input folder
  std::vector<PackFile> files;
  std::vector<float> class_vector;
  int64_t class_index = kNoClass;
  // Masks that are no files: draws one of the image's size (px), CV_8UC1. Errors: DataError.
  std::function<cv::Mat(int32_t height, int32_t width)> draw_mask;
  std::string mask_digest;  // of all that draw_mask depends on
};

struct PackPlan {
  Task task = Task::kMultiLabel;
  std::vector<std::string> classes;
  bool has_labels = false;
  bool is_255_foreground = false;  // masks: 255 means class 1; otherwise it is not counted
  std::vector<PackSample> samples;
  std::vector<BadSample> bad_samples;  // left out already: a bad cell, a missing file
};

// Reads the input's tables and folders, not the images.
// Requires: the layout is planned, not indexed.
// Errors: DataError / IoError with FILE:LINE or the path; with skip_bad_samples those of single
// samples become bad_samples.
PackPlan make_plan(const PackOptions& options);

// With two classes a mask may hold 0 and 255 or 0 and 1. One rule for the whole set: 255 is class 1
// when no mask holds a 1. Reads every mask.
bool is_255_foreground(const PackPlan& plan, const PackOptions& options);

// Runs `function()`; with skip_bad_samples its DataError or IoError goes to `bad` and false is
// returned.
bool is_good_sample(const PackOptions& options, const std::string& place,
                    std::vector<BadSample>* bad, const std::function<void()>& function);

// Name of the files of `key` in the tar: characters that tar, wds2idx or WebDataset would change or
// cut at become '_'.
std::string tar_stem(const std::string& key);

}  // namespace podium::data_shards
