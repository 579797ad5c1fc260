// Decoding with the loader's decoder, so that stored pixels are those of training.
#include "data_shards/pack/pack_rewrite.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "data_shards/decode/decode.h"
#include "data_shards/decode/exif.h"
#include "data_shards/format/npy_format.h"

namespace podium::data_shards {
namespace {

std::string encode_image(const cv::Mat& rgb, const std::string& extension, int jpeg_quality) {
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  std::vector<uint8_t> bytes;
  if (extension == "jpg") {
    cv::imencode(".jpg", bgr, bytes, {cv::IMWRITE_JPEG_QUALITY, jpeg_quality});
  } else {
    cv::imencode(".png", bgr, bytes, {cv::IMWRITE_PNG_COMPRESSION, 6});
  }
  return {bytes.begin(), bytes.end()};
}

}  // namespace

cv::Size stored_size(const ImageRewrite& rewrite, int32_t width, int32_t height) {
  if (rewrite.resize_width > 0) return {rewrite.resize_width, rewrite.resize_height};
  const int32_t longer = std::max(width, height);
  if (rewrite.max_side == 0 || longer <= rewrite.max_side) return {width, height};
  const double scale = static_cast<double>(rewrite.max_side) / longer;
  const auto scaled = [&](int32_t side) {
    return std::max(1, static_cast<int>(std::lround(side * scale)));
  };
  return {scaled(width), scaled(height)};
}

bool is_rewritten(const ImageRewrite& rewrite, const ImageInfo& info, int orientation) {
  if (rewrite.decode || (rewrite.is_upright && orientation != 1)) return true;
  return stored_size(rewrite, info.width, info.height) != cv::Size(info.width, info.height);
}

RewrittenImage rewrite_image(const ImageRewrite& rewrite, std::string_view bytes,
                             const ImageInfo& info, int orientation) {
  ImageDecoder decoder;
  decoder.open(bytes);
  cv::Mat pixels = decoder.decode().pixels;
  if (rewrite.is_upright) pixels = upright(pixels, orientation);
  const cv::Size size = stored_size(rewrite, pixels.cols, pixels.rows);
  if (size != pixels.size()) {
    const bool is_smaller = size.width < pixels.cols && size.height < pixels.rows;
    cv::Mat resized;
    cv::resize(pixels, resized, size, 0, 0, is_smaller ? cv::INTER_AREA : cv::INTER_LINEAR);
    pixels = resized;
  }
  RewrittenImage result;
  result.info.width = pixels.cols;
  result.info.height = pixels.rows;
  if (rewrite.decode) {
    result.info.extension = "npy";
    result.bytes = encode_npy(pixels);
  } else {
    result.info.extension = info.extension == "jpg" ? "jpg" : "png";
    result.bytes = encode_image(pixels, result.info.extension, rewrite.jpeg_quality);
  }
  return result;
}

cv::Mat resize_mask(const ImageRewrite& rewrite, const cv::Mat& mask) {
  const cv::Size size = stored_size(rewrite, mask.cols, mask.rows);
  if (size == mask.size()) return mask;
  cv::Mat resized;
  cv::resize(mask, resized, size, 0, 0, cv::INTER_NEAREST_EXACT);
  return resized;
}

}  // namespace podium::data_shards
