// JPEG by libjpeg, because OpenCV hides its warnings; PNG, WebP and TIFF by OpenCV; arrays by hand.
#include "data_shards/pack/pack_image.h"

#include <fmt/format.h>

#include <opencv2/imgcodecs.hpp>

#include "base/error.h"
#include "base/text.h"
#include "data_shards/decode/decode.h"
#include "data_shards/decode/decode_jpeg.h"
#include "data_shards/format/npy_format.h"
#include "data_shards/load/batch.h"

namespace podium::data_shards {
namespace {

[[noreturn]] void fail(std::string_view reason) {
  throw DataError(
      fmt::format("cannot decode the image: {}; replace the file, or "
                  "--on_bad_sample=skip",
                  reason));
}

// A PNG's chunks up to IEND: libpng is content with an image whose end is missing.
void check_png_end(std::string_view bytes) {
  for (size_t at = 8; at + 12 <= bytes.size();) {
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) {
      length = length << 8 | static_cast<unsigned char>(bytes[at + i]);
    }
    if (at + 12 + length > bytes.size()) break;
    if (bytes.substr(at + 4, 4) == "IEND") return;
    at += 12 + length;
  }
  fail("the PNG ends before its last chunk");
}

cv::Mat decode_by_opencv(std::string_view bytes) {
  const cv::Mat encoded(1, static_cast<int>(bytes.size()), CV_8UC1,
                        const_cast<char*>(bytes.data()));
  try {
    cv::Mat image = cv::imdecode(encoded, cv::IMREAD_UNCHANGED);
    if (image.empty()) fail("the data are damaged");
    return image;
  } catch (const cv::Exception& error) {
    fail(error.err);
  }
}

}  // namespace

bool has_image_name(const std::filesystem::path& file) {
  const std::string extension = lower(file.extension().string());
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png" ||
         extension == ".webp" || extension == ".tif" || extension == ".tiff" || extension == ".npy";
}

ImageInfo inspect_image(std::string_view bytes) {
  ImageInfo info;
  info.extension = image_format(bytes);
  if (bytes.empty()) fail("the file is empty");
  if (info.extension.empty()) fail("it is no JPEG, PNG, WebP, TIFF or .npy");
  if (info.extension == "jpg") {
    JpegDecoder decoder;
    decoder.check(bytes);
    info.width = decoder.width();
    info.height = decoder.height();
    return info;
  }
  if (info.extension == "png") check_png_end(bytes);
  const cv::Mat image = info.extension == "npy" ? image_of_npy(bytes) : decode_by_opencv(bytes);
  const bool is_known = (image.depth() == CV_8U || image.depth() == CV_16U) &&
                        (image.channels() == 1 || image.channels() == 3 || image.channels() == 4);
  if (!is_known) {
    fail(
        fmt::format("it has {} channels of {} bits{}, but 1, 3 or 4 of 8 or 16 bits are read",
                    image.channels(), image.elemSize1() * 8,
                    image.depth() == CV_32F || image.depth() == CV_64F ? " (floating point)" : ""));
  }
  info.width = image.cols;
  info.height = image.rows;
  return info;
}

cv::Mat decode_mask(std::string_view bytes) {
  if (is_npy(bytes)) return mask_of_npy(bytes);
  if (image_format(bytes) != "png") fail("a mask must be a PNG or a .npy array");
  check_png_end(bytes);
  cv::Mat mask = decode_by_opencv(bytes);
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
