// `podium demo`: a small data set of rendered aerial scenes in the layouts of satellite
// competitions. Read next: demo_painter.h.
#pragma once

#include <cstdint>
#include <filesystem>

namespace podium::launcher {

struct DemoOptions {
  std::filesystem::path output;
  int64_t num_train = 1000;
  int64_t num_test = 250;
  int64_t image_size = 128;        // px, square
  double unknown_fraction = 0.05;  // of the training labels that are left empty
  uint64_t seed = 7;
  int num_threads = 0;  // 0: all cores
};

// Writes (all paths in the CSV files are relative to `output`):
//   train.csv              img_id,img_path,<classes>   0, 1 or empty (not annotated)
//   test.csv               img_id,img_path
//   sample_submission.csv  img_id,<classes>            all 0
//   test_truth.csv         img_id,<classes>            what the competition would keep to itself
//   buildings.csv          img_id,img_path,mask_rle    training images; row-major, 1-based start
//   length pairs, -1 when empty train/images/*.jpg, train/masks/*.png (0 background, 1 building),
//   test/images/*.jpg, test/masks/*.png
// Deterministic in the options, whatever the number of threads. Appears whole or not at all.
// Errors: UsageError for sizes out of range, IoError.
void render_demo(const DemoOptions& options);

}  // namespace podium::launcher
