// What `podium show` draws. Read next: show_samples.cpp (which samples, what is said of them),
// show_grid.h (the picture).
#pragma once

#include <cstdint>
#include <filesystem>
#include <opencv2/core/mat.hpp>
#include <string>
#include <vector>

namespace podium::launcher {

struct ShowOptions {
  std::filesystem::path recipe;
  std::vector<std::string> overrides;  // --set
  std::filesystem::path data;
  std::filesystem::path folds;  // empty: all samples train
  int64_t fold = 0;
  int64_t epoch = 0;  // from 0
  int64_t num_samples = 12;
};

// The first training samples of an epoch as the network gets them, as one CV_8UC3 picture in BGR.
// Errors: those of the recipe, the data set and the samples.
cv::Mat show_samples(const ShowOptions& options);

}  // namespace podium::launcher
