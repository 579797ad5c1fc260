// Masks are PNGs of one channel, decoded by OpenCV, or arrays, read by hand.
#include "data_shards/decode/mask.h"

#include <fmt/format.h>

#include <opencv2/imgcodecs.hpp>

#include "base/error.h"
#include "data_shards/decode/decode.h"
#include "data_shards/decode/inspect_image.h"
#include "data_shards/format/npy_format.h"
#include "data_shards/format/task.h"

namespace podium::data_shards {

cv::Mat decode_mask(std::string_view bytes) {
  if (is_npy(bytes)) return mask_of_npy(bytes);
  if (image_format(bytes) != "png") fail_decoding("a mask must be a PNG or a .npy array");
  cv::Mat mask = decode_unchanged(bytes);
  if (mask.type() != CV_8UC1) {
    throw DataError(
        fmt::format("the mask has {} channels of {} bits, but one channel of 8 bits "
                    "with class indices is needed; convert it",
                    mask.channels(), mask.elemSize1() * 8));
  }
  return mask;
}

std::array<int64_t, 256> mask_histogram(const cv::Mat& mask) {
  std::array<int64_t, 256> histogram{};
  for (int y = 0; y < mask.rows; ++y) {
    const auto* row = mask.ptr<uint8_t>(y);
    for (int x = 0; x < mask.cols; ++x) ++histogram[row[x]];
  }
  return histogram;
}

std::vector<int64_t> count_mask_pixels(const cv::Mat& mask, int64_t num_classes) {
  const auto histogram = mask_histogram(mask);
  for (size_t value = static_cast<size_t>(num_classes); value < kIgnoreIndex; ++value) {
    if (histogram[value] == 0) continue;
    throw DataError(
        fmt::format("the mask has {} pixels of value {}, but there are {} classes (0 to "
                    "{}; 255 is not counted); give all --classes, or fix the mask",
                    histogram[value], value, num_classes, num_classes - 1));
  }
  return {histogram.begin(), histogram.begin() + num_classes};
}

std::string encode_mask(const cv::Mat& mask) {
  std::vector<uint8_t> bytes;
  // A fixed level, so that equal masks give equal bytes.
  cv::imencode(".png", mask, bytes, {cv::IMWRITE_PNG_COMPRESSION, 6});
  return {bytes.begin(), bytes.end()};
}

}  // namespace podium::data_shards
