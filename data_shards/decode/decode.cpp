// Chooses the decoder and turns whatever a file holds into RGB. Read next: decode_jpeg.cpp,
// transforms.cpp.
#include "data_shards/decode/decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <opencv2/imgcodecs.hpp>

#include "base/error.h"
#include "data_shards/decode/decode_jpeg.h"
#include "data_shards/format/npy_format.h"

namespace podium::data_shards {
namespace {

[[noreturn]] void fail_decode(const std::string& reason) {
  throw DataError(fmt::format(
      "cannot decode the image: {}; replace the file, or --on_bad_sample=skip", reason));
}

void require_reasonable_size(int64_t width, int64_t height) {
  if (width < 1 || height < 1 || width * height > kMaxPixels) {
    fail_decode(
        fmt::format("{} x {} px, at most {} Mpx are accepted", width, height, kMaxPixels >> 20));
  }
}

// Requires: a PNG, WebP or TIFF file; on other bytes OpenCV tries whatever it was built with.
cv::Mat decode_by_opencv(std::string_view encoded) {
  const cv::Mat bytes(1, static_cast<int>(encoded.size()), CV_8UC1,
                      const_cast<char*>(encoded.data()));
  cv::Mat image;
  try {
    image = cv::imdecode(bytes, cv::IMREAD_UNCHANGED);  // unchanged: no turning by EXIF either
  } catch (const cv::Exception& error) {
    fail_decode(error.err);
  }
  if (image.empty()) fail_decode("the file is damaged");
  require_reasonable_size(image.cols, image.rows);
  return image;
}

cv::Mat to_8_bit(const cv::Mat& image) {
  if (image.depth() == CV_8U) return image;
  if (image.depth() != CV_16U) fail_decode("pixels are neither 8 nor 16 bit integers");
  cv::Mat narrow;
  image.convertTo(narrow, CV_8U, 1.0 / 257.0);
  return narrow;
}

// 1, 3 or 4 channels -> RGB. By hand, because cv::cvtColor would start threads of its own.
cv::Mat to_rgb(const cv::Mat& image, bool is_bgr) {
  const int channels = image.channels();
  if (channels != 1 && channels != 3 && channels != 4) {
    fail_decode(fmt::format("{} channels, expected 1, 3 or 4", channels));
  }
  cv::Mat rgb(image.rows, image.cols, CV_8UC3);
  const int red = channels > 1 && is_bgr ? 2 : 0;
  const int green = channels > 1 ? 1 : 0;
  const int blue = channels > 1 && !is_bgr ? 2 : 0;
  for (int y = 0; y < image.rows; ++y) {
    const uint8_t* source = image.ptr<uint8_t>(y);
    uint8_t* target = rgb.ptr<uint8_t>(y);
    for (int x = 0; x < image.cols; ++x, source += channels, target += 3) {
      target[0] = source[red];
      target[1] = source[green];
      target[2] = source[blue];
    }
  }
  return rgb;
}

}  // namespace

std::string image_format(std::string_view bytes) {
  if (is_npy(bytes)) return "npy";
  if (bytes.substr(0, 3) == "\xff\xd8\xff") return "jpg";
  if (bytes.substr(0, 8) == "\x89PNG\r\n\x1a\n") return "png";
  if (bytes.substr(0, 4) == "RIFF" && bytes.size() > 12 && bytes.substr(8, 4) == "WEBP") {
    return "webp";
  }
  const std::string_view start = bytes.substr(0, 4);
  if (start == std::string_view("II*\0", 4) || start == std::string_view("MM\0*", 4)) return "tif";
  return "";
}

ImageDecoder::ImageDecoder() = default;
ImageDecoder::~ImageDecoder() = default;

void ImageDecoder::open(std::string_view encoded) {
  encoded_ = encoded;
  if (encoded.empty()) fail_decode("the file is empty");
  const std::string format = image_format(encoded);
  if (format.empty()) fail_decode("not a JPEG, PNG, WebP or TIFF file");
  is_jpeg_ = format == "jpg";
  if (is_jpeg_) {
    whole_.release();
    if (!jpeg_) jpeg_ = std::make_unique<JpegDecoder>();
    jpeg_->open(encoded);
    width_ = jpeg_->width();
    height_ = jpeg_->height();
    require_reasonable_size(width_, height_);
  } else if (format == "npy") {
    const cv::Mat array = image_of_npy(encoded);
    require_reasonable_size(array.cols, array.rows);
    whole_ = array.type() == CV_8UC3 ? array : to_rgb(to_8_bit(array), false);
    width_ = whole_.cols;
    height_ = whole_.rows;
  } else {
    whole_ = to_rgb(to_8_bit(decode_by_opencv(encoded)), true);
    width_ = whole_.cols;
    height_ = whole_.rows;
  }
}

PixelRect reduced_region(const PixelRect& region, int denominator, int width, int height) {
  const auto up = [&](int length) { return (length + denominator - 1) / denominator; };
  const int left = region.x / denominator;
  const int top = region.y / denominator;
  return {left, top, std::min(up(width), up(region.x + region.width)) - left,
          std::min(up(height), up(region.y + region.height)) - top};
}

int ImageSource::best_denominator(const PixelRect& region, int out_width, int out_height) const {
  if (!can_reduce()) return 1;
  // Only these reductions have fast inverse transforms in libjpeg-turbo.
  for (const int denominator : {8, 4, 2}) {
    if (region.width >= out_width * denominator && region.height >= out_height * denominator) {
      return denominator;
    }
  }
  return 1;
}

DecodedRegion ImageDecoder::decode(const PixelRect& region, int denominator) {
  if (region.x < 0 || region.y < 0 || region.width < 1 || region.height < 1 ||
      region.x + region.width > width_ || region.y + region.height > height_) {
    throw InternalError(fmt::format("region {}+{} x {}+{} lies outside an image of {} x {} px",
                                    region.x, region.width, region.y, region.height, width_,
                                    height_));
  }
  if (is_jpeg_) return jpeg_->decode(encoded_, region, denominator);
  return {whole_(cv::Rect(region.x, region.y, region.width, region.height)), region.x, region.y, 1};
}

}  // namespace podium::data_shards
