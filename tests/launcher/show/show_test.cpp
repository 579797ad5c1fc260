// The picture of `podium show`: where images and masks lie in it. Numbers by hand from the layout:
// margins of 12 px, images of 256 px, a title line and a legend line of 18 px.
#include <gtest/gtest.h>

#include "launcher/show/show_grid.h"

namespace podium::launcher {
namespace {

TEST(ShowGrid, ImagesLieInColumnsAndKeepTheirColours) {
  std::vector<GridCell> cells;
  for (int i = 0; i < 3; ++i) {
    cells.push_back({cv::Mat(32, 32, CV_8UC3, cv::Scalar(10 * i, 100, 200)), {}, {"key"}});
  }
  const cv::Mat picture = draw_grid("title", cells, {});
  EXPECT_EQ(picture.cols, 12 + 3 * 268);
  const int top = 12 + 2 * 18;
  for (int i = 0; i < 3; ++i) {
    // RGB becomes BGR.
    EXPECT_EQ(picture.at<cv::Vec3b>(top + 1, 12 + 268 * i + 1), cv::Vec3b(200, 100, 10 * i));
    EXPECT_EQ(picture.at<cv::Vec3b>(top + 254, 12 + 268 * i + 254), cv::Vec3b(200, 100, 10 * i));
    EXPECT_EQ(picture.at<cv::Vec3b>(top + 1, 12 + 268 * i + 258), cv::Vec3b(250, 250, 250));
  }
}

TEST(ShowGrid, MasksArePaintedOverTheirPixels) {
  GridCell cell{cv::Mat(64, 64, CV_8UC3, cv::Scalar::all(90)), cv::Mat::zeros(64, 64, CV_8UC1), {}};
  cell.mask.rowRange(32, 64).setTo(1);
  cell.mask.colRange(48, 64).setTo(255);
  const cv::Mat picture = draw_grid("title", {cell, cell}, {"background", "building"});
  const int top = 12 + 3 * 18, left = 12;
  EXPECT_EQ(picture.at<cv::Vec3b>(top + 20, left + 20), cv::Vec3b(90, 90, 90));
  const cv::Vec3b painted = picture.at<cv::Vec3b>(top + 200, left + 20);
  EXPECT_NE(painted, cv::Vec3b(90, 90, 90));
  int num_white = 0;
  for (int x = 200; x < 248; ++x) {
    num_white += picture.at<cv::Vec3b>(top + 20, left + x) == cv::Vec3b(255, 255, 255);
  }
  EXPECT_EQ(num_white, 12);  // 2 of 8 px
}

// The longest word is cut, the others are wrapped; six lines at most.
TEST(ShowGrid, LongCaptionsMakeTheRowHigherUpToALimit) {
  const auto height = [](const std::string& caption) {
    return draw_grid("t", {{cv::Mat::zeros(8, 8, CV_8UC3), {}, {caption}}}, {}).rows;
  };
  EXPECT_EQ(height(std::string(300, 'x')), height("x"));
  std::string words;
  for (int i = 0; i < 200; ++i) words += "word ";
  EXPECT_EQ(height(words), height("x") + 5 * 18);
}

}  // namespace
}  // namespace podium::launcher
