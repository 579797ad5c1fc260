// Rasterisation with COCO's rules.
#include "data_shards/pack/coco_mask.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/error.h"

namespace podium::data_shards {
namespace {

constexpr double kGrid = 5;                 // steps per pixel
constexpr double kLargestCoordinate = 1e6;  // px; far beyond any image, and safe as int

struct GridPoint {
  int x = 0;
  int y = 0;
};

// Truncated like C's conversion, because negative coordinates must fall where COCO's fall.
GridPoint to_grid(double x, double y) {
  const auto clamp = [](double value) {
    return std::clamp(value, -kLargestCoordinate, kLargestCoordinate);
  };
  return {static_cast<int>(kGrid * clamp(x) + 0.5), static_cast<int>(kGrid * clamp(y) + 0.5)};
}

// Calls visit(point) for every grid point of the line, both ends included, in the order a -> b. The
// interpolation runs along the longer axis in its ascending direction, whatever the order.
template <typename Visit>
void trace_line(GridPoint a, GridPoint b, const Visit& visit) {
  const int dx = std::abs(b.x - a.x);
  const int dy = std::abs(b.y - a.y);
  const bool is_flat = dx >= dy;
  const bool is_backwards = is_flat ? a.x > b.x : a.y > b.y;
  if (is_backwards) std::swap(a, b);
  const int length = is_flat ? dx : dy;
  if (length == 0) return visit(a);
  const double slope = static_cast<double>(is_flat ? b.y - a.y : b.x - a.x) / length;
  for (int i = 0; i <= length; ++i) {
    const int t = is_backwards ? length - i : i;
    const int along = t + (is_flat ? a.x : a.y);
    const auto across = static_cast<int>((is_flat ? a.y : a.x) + slope * t + 0.5);
    visit(is_flat ? GridPoint{along, across} : GridPoint{across, along});
  }
}

}  // namespace

void fill_polygon(const std::vector<double>& points, cv::Mat* region) {
  const int width = region->cols;
  const int height = region->rows;
  // Column-major positions where inside and outside change; the last one ends the image.
  std::vector<uint8_t> changes(static_cast<size_t>(width) * static_cast<size_t>(height) + 1, 0);
  bool has_previous = false;
  GridPoint previous;
  const auto visit = [&](GridPoint point) {
    if (has_previous && point.x != previous.x) {
      // The crossing lies between two grid columns; only those at a pixel column's centre count.
      const double column = ((point.x < previous.x ? point.x : point.x - 1) + 0.5) / kGrid - 0.5;
      if (std::floor(column) == column && column >= 0 && column <= width - 1) {
        const double row = (std::min(point.y, previous.y) + 0.5) / kGrid - 0.5;
        const auto first_row =
            static_cast<size_t>(std::ceil(std::clamp(row, 0.0, static_cast<double>(height))));
        changes[static_cast<size_t>(column) * static_cast<size_t>(height) + first_row] ^= 1;
      }
    }
    previous = point;
    has_previous = true;
  };
  const size_t num_points = points.size() / 2;
  for (size_t i = 0; i < num_points; ++i) {
    const size_t next = (i + 1) % num_points;
    trace_line(to_grid(points[2 * i], points[2 * i + 1]),
               to_grid(points[2 * next], points[2 * next + 1]), visit);
  }
  uint8_t is_inside = 0;
  size_t at = 0;
  for (int x = 0; x < width; ++x) {
    for (int y = 0; y < height; ++y) {
      is_inside ^= changes[at++];
      if (is_inside) region->at<uint8_t>(y, x) = 1;
    }
  }
}

void fill_runs(const std::vector<int64_t>& lengths, cv::Mat* region) {
  const int64_t num_pixels = static_cast<int64_t>(region->rows) * region->cols;
  int64_t at = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] < 0 || lengths[i] > num_pixels - at) {
      throw DataError(fmt::format("run {} of {} px ends outside an image of {} x {} px", i + 1,
                                  lengths[i], region->cols, region->rows));
    }
    const int64_t end = at + lengths[i];
    for (; at < end; ++at) {
      if (i % 2 == 0) continue;
      region->at<uint8_t>(static_cast<int>(at % region->rows),
                          static_cast<int>(at / region->rows)) = 1;
    }
  }
  if (at != num_pixels) {
    throw DataError(fmt::format("the runs have {} px together, but the image has {} x {} px", at,
                                region->cols, region->rows));
  }
}

std::vector<int64_t> decompress_runs(std::string_view text) {
  std::vector<int64_t> lengths;
  for (size_t at = 0; at < text.size();) {
    int64_t value = 0;
    bool has_more = true;
    for (unsigned shift = 0; has_more; shift += 5) {
      const int code = at < text.size() ? text[at] - 48 : -1;
      if (code < 0 || code > 63 || shift > 50) {
        throw DataError(
            fmt::format("the compressed run-length code is damaged at character {}", at + 1));
      }
      ++at;
      value |= static_cast<int64_t>(code & 0x1f) << shift;
      has_more = (code & 0x20) != 0;
      if (!has_more && (code & 0x10)) value -= int64_t{1} << (shift + 5);
    }
    if (lengths.size() > 2) value += lengths[lengths.size() - 2];
    lengths.push_back(value);
  }
  return lengths;
}

}  // namespace podium::data_shards
