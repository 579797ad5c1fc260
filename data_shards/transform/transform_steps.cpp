// From specs to ops; steps on bytes and on masks. Read next: transforms.cpp.
#include "data_shards/transform/transform_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <opencv2/core.hpp>

#include "base/error.h"
#include "base/text.h"
#include "data_shards/transform/transform_table.h"

namespace podium::data_shards {
namespace {

// Position inside [0, n) of a position that may lie outside: mirrored at the edges, edge pixel not
// repeated.
int mirrored(int position, int n) {
  if (n == 1) return 0;
  const int period = 2 * (n - 1);
  position = ((position % period) + period) % period;
  return position < n ? position : period - position;
}

bool is_inside(const PixelRect& box, int width, int height) {
  return box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height;
}

cv::Mat crop(const cv::Mat& image, const PixelRect& box) {
  if (is_inside(box, image.cols, image.rows)) {
    return image(cv::Rect(box.x, box.y, box.width, box.height));
  }
  cv::Mat result(box.height, box.width, CV_8UC3);
  for (int y = 0; y < box.height; ++y) {
    const auto* from = image.ptr<cv::Vec3b>(mirrored(box.y + y, image.rows));
    auto* to = result.ptr<cv::Vec3b>(y);
    for (int x = 0; x < box.width; ++x) to[x] = from[mirrored(box.x + x, image.cols)];
  }
  return result;
}

cv::Mat to_gray(const cv::Mat& image) {
  cv::Mat result(image.rows, image.cols, CV_8UC3);
  for (int y = 0; y < image.rows; ++y) {
    const uint8_t* from = image.ptr<uint8_t>(y);
    uint8_t* to = result.ptr<uint8_t>(y);
    for (int x = 0; x < image.cols; ++x, from += 3, to += 3) {
      to[0] = to[1] = to[2] = gray_value(from[0], from[1], from[2]);
    }
  }
  return result;
}

// out[i] = saturate(5 * here[i] - above[i] - below[i] - here[i - 3] - here[i + 3]) for i in [begin,
// end).
void sharpen_values(const uint8_t* __restrict above, const uint8_t* __restrict here,
                    const uint8_t* __restrict below, uint8_t* __restrict out, int begin, int end) {
  constexpr int kBlock = 16;
  const auto value = [&](int i) {
    const auto sum =
        static_cast<int16_t>(5 * here[i] - above[i] - below[i] - here[i - 3] - here[i + 3]);
    return static_cast<uint8_t>(std::clamp<int16_t>(sum, 0, 255));
  };
  int i = begin;
  for (; i + kBlock <= end; i += kBlock) {
    for (int j = 0; j < kBlock; ++j) out[i + j] = value(i + j);
  }
  for (; i < end; ++i) out[i] = value(i);
}

// The geometry of some steps as one table per axis: out(y, x) = mask(rows[y], columns[x]), or
// mask(columns[x], rows[y]) when the axes have changed places. Every step of ours moves whole rows
// and columns, so they compose without sampling twice.
struct IndexMap {
  std::vector<int> rows;
  std::vector<int> columns;
  bool is_transposed = false;

  void take(std::vector<int>* axis, int start, int length) {
    std::vector<int> taken(static_cast<size_t>(length));
    for (int i = 0; i < length; ++i) {
      taken[static_cast<size_t>(i)] =
          (*axis)[static_cast<size_t>(mirrored(start + i, static_cast<int>(axis->size())))];
    }
    *axis = std::move(taken);
  }
  // The sample nearest to the centre of each output pixel.
  void scale(std::vector<int>* axis, int start, int length, int out_size) {
    std::vector<int> scaled(static_cast<size_t>(out_size));
    for (int i = 0; i < out_size; ++i) {
      const int64_t nearest = (int64_t{2} * i + 1) * length / (int64_t{2} * out_size);
      scaled[static_cast<size_t>(i)] = (*axis)[static_cast<size_t>(start + nearest)];
    }
    *axis = std::move(scaled);
  }
  void quarter_turn() {  // counter-clockwise: out(y, x) = in(x, width - 1 - y)
    std::reverse(columns.begin(), columns.end());
    std::swap(rows, columns);
    is_transposed = !is_transposed;
  }
  void apply(const Step& step) {
    switch (step.kind) {
      case StepKind::kResample:
        scale(&rows, step.box.y, step.box.height, step.size.height);
        scale(&columns, step.box.x, step.box.width, step.size.width);
        break;
      case StepKind::kCrop:
        take(&rows, step.box.y, step.box.height);
        take(&columns, step.box.x, step.box.width);
        break;
      case StepKind::kFlipHorizontal:
        std::reverse(columns.begin(), columns.end());
        break;
      case StepKind::kFlipVertical:
        std::reverse(rows.begin(), rows.end());
        break;
      case StepKind::kRotate90:
        for (int turn = 0; turn < step.quarter_turns; ++turn) quarter_turn();
        break;
      default:  // values only
        break;
    }
  }
  cv::Mat take_from(const cv::Mat& mask) const {
    cv::Mat result(static_cast<int>(rows.size()), static_cast<int>(columns.size()), CV_8UC1);
    for (int y = 0; y < result.rows; ++y) {
      uint8_t* to = result.ptr<uint8_t>(y);
      const int row = rows[static_cast<size_t>(y)];
      for (int x = 0; x < result.cols; ++x) {
        const int column = columns[static_cast<size_t>(x)];
        to[x] = is_transposed ? mask.at<uint8_t>(column, row) : mask.at<uint8_t>(row, column);
      }
    }
    return result;
  }
};

IndexMap identity_map(const cv::Mat& mask) {
  IndexMap map;
  map.rows.resize(static_cast<size_t>(mask.rows));
  map.columns.resize(static_cast<size_t>(mask.cols));
  std::iota(map.rows.begin(), map.rows.end(), 0);
  std::iota(map.columns.begin(), map.columns.end(), 0);
  return map;
}

cv::Mat rotated(const cv::Mat& image, int quarter_turns) {
  cv::Mat result;
  const int code = quarter_turns == 1   ? cv::ROTATE_90_COUNTERCLOCKWISE
                   : quarter_turns == 2 ? cv::ROTATE_180
                                        : cv::ROTATE_90_CLOCKWISE;
  cv::rotate(image, result, code);
  return result;
}

cv::Mat flipped(const cv::Mat& image, int code) {
  cv::Mat result;
  cv::flip(image, result, code);
  return result;
}

// `image` is memory of the decoder or of an earlier step; nobody reads it again, so it is changed
// in place.
cv::Mat changed(cv::Mat image, const std::function<void(cv::Mat*)>& change) {
  change(&image);
  return image;
}

}  // namespace

std::unique_ptr<TransformOp> make_transform_op(const PartSpec& spec) {
  const TransformRow* row = transform_table().find(spec.name);
  if (row == nullptr) {
    const std::vector<std::string> names = transform_table().names();
    throw RecipeError(fmt::format("unknown transform \"{}\"{}; there are {}", spec.name,
                                  did_you_mean(spec.name, names), join(names, ", ")));
  }
  return row->create == nullptr ? nullptr : row->create(spec);
}

cv::Mat sharpen(const cv::Mat& image) {
  cv::Mat result(image.rows, image.cols, CV_8UC3);
  const int n = image.cols * 3;
  // A copy of the row with one mirrored pixel at each end, so that the ends are no special case.
  std::vector<uint8_t> row(static_cast<size_t>(n + 6));
  std::vector<uint8_t> above(row.size());
  std::vector<uint8_t> below(row.size());
  std::vector<uint8_t> out(row.size());
  const auto load = [&](int y, std::vector<uint8_t>* to) {
    const uint8_t* from = image.ptr<uint8_t>(mirrored(y, image.rows));
    std::copy_n(from, n, to->begin() + 3);
    std::copy_n(from + 3 * mirrored(-1, image.cols), 3, to->begin());
    std::copy_n(from + 3 * mirrored(image.cols, image.cols), 3, to->begin() + n + 3);
  };
  for (int y = 0; y < image.rows; ++y) {
    load(y - 1, &above);
    load(y, &row);
    load(y + 1, &below);
    sharpen_values(above.data(), row.data(), below.data(), out.data(), 3, n + 3);
    std::copy_n(out.begin() + 3, n, result.ptr<uint8_t>(y));
  }
  return result;
}

cv::Mat apply_to_bytes(const cv::Mat& image, const Step& step) {
  switch (step.kind) {
    case StepKind::kResample: {
      const PixelRect& box = step.box;
      const cv::Mat part = image(cv::Rect(box.x, box.y, box.width, box.height));
      if (box.width == step.size.width && box.height == step.size.height) return part;
      const SourceBox whole{0, 0, static_cast<double>(box.width), static_cast<double>(box.height)};
      return resample_to_bytes(part, whole, step.interpolation, step.size.height, step.size.width);
    }
    case StepKind::kCrop:
      return crop(image, step.box);
    case StepKind::kFlipHorizontal:
      return flipped(image, 1);
    case StepKind::kFlipVertical:
      return flipped(image, 0);
    case StepKind::kRotate90:
      return rotated(image, step.quarter_turns);
    case StepKind::kGray:
      return to_gray(image);
    case StepKind::kSharpen:
      return sharpen(image);
    case StepKind::kWarp:
      return warp(image, step.warp);
    case StepKind::kTable:
      return changed(image, [&](cv::Mat* pixels) { apply_table(step.table, pixels); });
    case StepKind::kPixels:
      return changed(image, step.pixels);
    case StepKind::kErase:  // of the planes, not of bytes
      break;
  }
  return image;
}

cv::Mat apply_to_mask(const cv::Mat& mask, const std::vector<Step>& steps) {
  cv::Mat result = mask;
  IndexMap map = identity_map(result);
  for (const Step& step : steps) {
    if (step.kind != StepKind::kWarp) {
      map.apply(step);
      continue;
    }
    result = warp_mask(map.take_from(result), step.warp.map);
    map = identity_map(result);
  }
  return map.take_from(result);
}

void apply_to_planes(const Erasure& erasure, const PlanarTarget& target) {
  std::optional<Rng> noise = erasure.noise;
  for (int channel = 0; channel < target.channels; ++channel) {
    for (int y = erasure.box.y; y < erasure.box.y + erasure.box.height; ++y) {
      float* row = target.data + (channel * target.height + y) * target.width + erasure.box.x;
      for (int x = 0; x < erasure.box.width; ++x) {
        row[x] = noise ? static_cast<float>(noise->normal())
                       : erasure.color[static_cast<size_t>(channel)];
      }
    }
  }
}

}  // namespace podium::data_shards
