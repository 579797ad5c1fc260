// Layout, masks and text of the picture.
#include "launcher/show/show_grid.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "base/text.h"
#include "data_shards/format/task.h"

namespace podium::launcher {
namespace {

constexpr int kSide = 256;       // px of the longer side of an image
constexpr int kMargin = 12;      // px between cells
constexpr int kLine = 18;        // px from line to line
constexpr int kMaxLines = 6;     // of one caption
constexpr double kScale = 0.45;  // of the font
constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
const cv::Scalar kPaper(250, 250, 250), kInk(30, 30, 30);

int text_width(const std::string& text) {
  int baseline = 0;
  return cv::getTextSize(text, kFont, kScale, 1, &baseline).width;
}

// As much of a line as fits, with dots for the rest.
std::string shortened(std::string text, int width) {
  if (text_width(text) <= width) return text;
  while (!text.empty() && text_width(text + "...") > width) text.pop_back();
  return text + "...";
}

std::vector<std::string> wrapped(const std::string& paragraph, int width) {
  std::vector<std::string> lines = {""};
  for (const std::string& word : split(paragraph, ' ')) {
    const std::string longer = lines.back().empty() ? word : lines.back() + " " + word;
    if (lines.back().empty() || text_width(longer) <= width) {
      lines.back() = longer;
    } else {
      lines.push_back(word);
    }
  }
  for (std::string& line : lines) line = shortened(line, width);
  return lines;
}

std::vector<std::string> caption_lines(const GridCell& cell) {
  std::vector<std::string> lines;
  for (const std::string& paragraph : cell.caption) {
    for (std::string& line : wrapped(paragraph, kSide)) lines.push_back(std::move(line));
  }
  if (lines.size() > kMaxLines) {
    lines.resize(kMaxLines);
    lines.back() = shortened(lines.back() + " ...", kSide);
  }
  return lines;
}

void write_text(cv::Mat* picture, const std::string& text, int x, int y) {
  cv::putText(*picture, text, {x, y}, kFont, kScale, kInk, 1, cv::LINE_AA);
}

// A colour for each class (BGR), as different as its neighbours' can be.
cv::Vec3b class_color(size_t k) {
  const double hue = std::fmod(0.61803398875 * static_cast<double>(k), 1.0) * 6;
  const auto channel = [&](double shift) {
    const double at = std::fmod(shift + hue, 6.0);
    const double value = 1 - std::clamp(std::min(at, 4 - at), 0.0, 1.0);
    return static_cast<uint8_t>(40 + 215 * value);
  };
  return {channel(1), channel(3), channel(5)};
}

// The image in BGR at its size in the picture, with the mask over it.
cv::Mat rendered(const GridCell& cell) {
  const double scale = static_cast<double>(kSide) / std::max(cell.image.cols, cell.image.rows);
  const cv::Size size(std::max(1, static_cast<int>(std::lround(cell.image.cols * scale))),
                      std::max(1, static_cast<int>(std::lround(cell.image.rows * scale))));
  cv::Mat image;
  // Enlarged pixels stay visible as such.
  cv::resize(cell.image, image, size, 0, 0, scale < 1 ? cv::INTER_AREA : cv::INTER_NEAREST);
  cv::cvtColor(image, image, cv::COLOR_RGB2BGR);
  if (cell.mask.empty()) return image;
  cv::Mat mask;
  cv::resize(cell.mask, mask, size, 0, 0, cv::INTER_NEAREST);
  for (int y = 0; y < mask.rows; ++y) {
    for (int x = 0; x < mask.cols; ++x) {
      const uint8_t k = mask.at<uint8_t>(y, x);
      cv::Vec3b& pixel = image.at<cv::Vec3b>(y, x);
      if (k == data_shards::kIgnoreIndex) {
        const int stripe = (x + y) % 8;  // seen on any colour
        if (stripe < 2) pixel = {255, 255, 255};
        if (stripe == 2) pixel = {0, 0, 0};
      } else if (k > 0) {
        const cv::Vec3b color = class_color(k);
        for (int i = 0; i < 3; ++i) pixel[i] = static_cast<uint8_t>((pixel[i] + color[i]) / 2);
      }
    }
  }
  return image;
}

// Where each class name of the legend goes; returns the legend's height.
int draw_legend(const std::vector<std::string>& classes, int width, int top, cv::Mat* picture) {
  int x = kMargin, y = top;
  for (size_t k = 1; k < classes.size(); ++k) {
    const int needed = 22 + text_width(classes[k]) + 18;
    if (x + needed > width && x > kMargin) {
      x = kMargin;
      y += kLine;
    }
    if (picture) {
      const cv::Vec3b color = class_color(k);
      cv::rectangle(*picture, cv::Rect(x, y - 12, 14, 14), cv::Scalar(color[0], color[1], color[2]),
                    cv::FILLED);
      write_text(picture, classes[k], x + 20, y);
    }
    x += needed;
  }
  return y - top + (classes.size() > 1 ? kLine : 0);
}

}  // namespace

cv::Mat draw_grid(const std::string& title, const std::vector<GridCell>& cells,
                  const std::vector<std::string>& classes) {
  const int num_cells = static_cast<int>(cells.size());
  const int columns =
      std::min(num_cells, std::max(2, static_cast<int>(std::ceil(std::sqrt(num_cells * 1.4)))));
  const int width = kMargin + columns * (kSide + kMargin);
  const std::vector<std::string> title_lines = wrapped(title, width - 2 * kMargin);
  const int legend_top = kMargin + kLine * (1 + static_cast<int>(title_lines.size()));
  const int grid_top = legend_top + draw_legend(classes, width, legend_top, nullptr);

  std::vector<cv::Mat> images;
  std::vector<std::vector<std::string>> captions;
  for (const GridCell& cell : cells) {
    images.push_back(rendered(cell));
    captions.push_back(caption_lines(cell));
  }
  // Each row is as high as its highest image and longest caption need.
  std::vector<int> row_tops = {grid_top};
  std::vector<int> text_tops;
  for (int first = 0; first < num_cells; first += columns) {
    int image_height = 0;
    size_t num_lines = 0;
    for (int i = first; i < std::min(first + columns, num_cells); ++i) {
      image_height = std::max(image_height, images[static_cast<size_t>(i)].rows);
      num_lines = std::max(num_lines, captions[static_cast<size_t>(i)].size());
    }
    text_tops.push_back(row_tops.back() + image_height + kLine);
    row_tops.push_back(text_tops.back() + kLine * static_cast<int>(num_lines) + kMargin);
  }

  cv::Mat picture(row_tops.back(), width, CV_8UC3, kPaper);
  for (size_t i = 0; i < title_lines.size(); ++i) {
    write_text(&picture, title_lines[i], kMargin, kMargin + kLine * (1 + static_cast<int>(i)) - 6);
  }
  draw_legend(classes, width, legend_top, &picture);
  for (int i = 0; i < num_cells; ++i) {
    const auto at = static_cast<size_t>(i);
    const auto row = static_cast<size_t>(i / columns);
    const int left = kMargin + i % columns * (kSide + kMargin);
    images[at].copyTo(picture(cv::Rect(left, row_tops[row], images[at].cols, images[at].rows)));
    for (size_t line = 0; line < captions[at].size(); ++line) {
      write_text(&picture, captions[at][line], left,
                 text_tops[row] + kLine * static_cast<int>(line));
    }
  }
  return picture;
}

}  // namespace podium::launcher
