// A picture of several images with captions. Read next: show_samples.cpp.
#pragma once

#include <opencv2/core/mat.hpp>
#include <string>
#include <vector>

namespace podium::launcher {

struct GridCell {
  cv::Mat image;                     // CV_8UC3, RGB
  cv::Mat mask;                      // CV_8UC1 class index, of the image's size; or empty
  std::vector<std::string> caption;  // paragraphs; each is wrapped to the cell's width
};

// `classes`: names for the masks' legend; empty without masks. Class 0 is not painted, what is not
// counted is hatched. Returns CV_8UC3 in BGR. Requires: at least one cell.
cv::Mat draw_grid(const std::string& title, const std::vector<GridCell>& cells,
                  const std::vector<std::string>& classes);

}  // namespace podium::launcher
