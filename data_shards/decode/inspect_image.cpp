// JPEG by libjpeg, because OpenCV hides its warnings; PNG, WebP and TIFF by OpenCV; arrays by hand.
#include "data_shards/decode/inspect_image.h"

#include <fmt/format.h>

#include <opencv2/imgcodecs.hpp>

#include "base/error.h"
#include "base/text.h"
#include "data_shards/decode/decode.h"
#include "data_shards/decode/decode_jpeg.h"
#include "data_shards/format/npy_format.h"

namespace podium::data_shards {

void fail_decoding(std::string_view reason) {
  throw DataError(
      fmt::format("cannot decode the image: {}; replace the file, or "
                  "--on_bad_sample=skip",
                  reason));
}

namespace {

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
  fail_decoding("the PNG ends before its last chunk");
}

cv::Mat decode_by_opencv(std::string_view bytes) {
  const cv::Mat encoded(1, static_cast<int>(bytes.size()), CV_8UC1,
                        const_cast<char*>(bytes.data()));
  try {
    cv::Mat image = cv::imdecode(encoded, cv::IMREAD_UNCHANGED);
    if (image.empty()) fail_decoding("the data are damaged");
    return image;
  } catch (const cv::Exception& error) {
    fail_decoding(error.err);
  }
}

}  // namespace

cv::Mat decode_unchanged(std::string_view bytes) {
  if (image_format(bytes) == "png") check_png_end(bytes);
  return decode_by_opencv(bytes);
}

bool has_image_name(const std::filesystem::path& file) {
  const std::string extension = lower(file.extension().string());
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png" ||
         extension == ".webp" || extension == ".tif" || extension == ".tiff" || extension == ".npy";
}

ImageInfo inspect_image(std::string_view bytes) {
  ImageInfo info;
  info.extension = image_format(bytes);
  if (bytes.empty()) fail_decoding("the file is empty");
  if (info.extension.empty()) fail_decoding("it is no JPEG, PNG, WebP, TIFF or .npy");
  if (info.extension == "jpg") {
    JpegDecoder decoder;
    decoder.check(bytes);
    info.width = decoder.width();
    info.height = decoder.height();
    return info;
  }
  const cv::Mat image = info.extension == "npy" ? image_of_npy(bytes) : decode_unchanged(bytes);
  const bool is_known = (image.depth() == CV_8U || image.depth() == CV_16U) &&
                        (image.channels() == 1 || image.channels() == 3 || image.channels() == 4);
  if (!is_known) {
    fail_decoding(
        fmt::format("it has {} channels of {} bits{}, but 1, 3 or 4 of 8 or 16 bits are read",
                    image.channels(), image.elemSize1() * 8,
                    image.depth() == CV_32F || image.depth() == CV_64F ? " (floating point)" : ""));
  }
  info.width = image.cols;
  info.height = image.rows;
  return info;
}

}  // namespace podium::data_shards
