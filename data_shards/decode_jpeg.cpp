// Cropped and reduced JPEG decoding with libjpeg-turbo. Read next: decode.cpp.
#include "data_shards/decode_jpeg.h"

#include <fmt/format.h>
#include <jerror.h>

#include <algorithm>

#include "base/error.h"

namespace podium::data_shards {
namespace {

// Warnings that say nothing about the pixels.
bool is_harmless(int code) { return code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM; }

// CMYK -> RGB in place of the first three bytes of each pixel. Adobe's files hold the inverted
// values.
void convert_cmyk(const uint8_t* source, uint8_t* target, size_t num_pixels, bool is_inverted) {
  for (size_t i = 0; i < num_pixels; ++i, source += 4, target += 3) {
    const int key = is_inverted ? source[3] : 255 - source[3];
    for (int channel = 0; channel < 3; ++channel) {
      const int ink = is_inverted ? source[channel] : 255 - source[channel];
      target[channel] = static_cast<uint8_t>((ink * key + 127) / 255);
    }
  }
}

}  // namespace

void JpegDecoder::on_error(j_common_ptr info) {
  auto* error = reinterpret_cast<ErrorManager*>(info->err);
  error->base.format_message(info, error->message);
  std::longjmp(error->jump, 1);
}

// libjpeg replaces what it cannot read by gray and only warns; such an image must not reach
// training.
void JpegDecoder::on_message(j_common_ptr info, int level) {
  if (level < 0 && !is_harmless(info->err->msg_code)) on_error(info);
}

JpegDecoder::JpegDecoder() {
  info_.err = jpeg_std_error(&error_.base);
  error_.base.error_exit = &JpegDecoder::on_error;
  error_.base.emit_message = &JpegDecoder::on_message;
  if (setjmp(error_.jump)) throw InternalError(std::string("libjpeg: ") + error_.message);
  jpeg_create_decompress(&info_);
}

JpegDecoder::~JpegDecoder() { jpeg_destroy_decompress(&info_); }

void JpegDecoder::fail() {
  jpeg_abort_decompress(&info_);
  is_header_read_ = false;
  throw DataError(fmt::format(
      "cannot decode the image: {}; replace the file, or --on_bad_sample=skip", error_.message));
}

bool JpegDecoder::read_header(std::string_view encoded) {
  if (setjmp(error_.jump)) return false;
  jpeg_abort_decompress(&info_);
  jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(encoded.data()), encoded.size());
  jpeg_read_header(&info_, TRUE);
  return true;
}

void JpegDecoder::open(std::string_view encoded) {
  if (!read_header(encoded)) fail();
  is_header_read_ = true;
}

bool JpegDecoder::start(int denominator) {
  if (setjmp(error_.jump)) return false;
  const bool is_cmyk = info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK;
  info_.out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
  info_.scale_num = 1;
  info_.scale_denom = static_cast<unsigned>(denominator);
  jpeg_start_decompress(&info_);
  return true;
}

bool JpegDecoder::read_rows(int num_rows_before, int num_rows, JDIMENSION first_column,
                            JDIMENSION num_columns) {
  if (setjmp(error_.jump)) return false;
  column_ = first_column;
  num_columns_ = num_columns;
  jpeg_crop_scanline(&info_, &column_, &num_columns_);
  const size_t stride = size_t{num_columns_} * static_cast<size_t>(info_.output_components);
  pixels_.resize(stride * static_cast<size_t>(num_rows));
  if (num_rows_before > 0) jpeg_skip_scanlines(&info_, static_cast<JDIMENSION>(num_rows_before));
  for (int row = 0; row < num_rows;) {
    JSAMPROW target = pixels_.data() + stride * static_cast<size_t>(row);
    row += static_cast<int>(jpeg_read_scanlines(&info_, &target, 1));
  }
  jpeg_abort_decompress(&info_);  // the rows below the region are never decoded
  return true;
}

bool JpegDecoder::read_to_end() {
  if (setjmp(error_.jump)) return false;
  info_.out_color_space = info_.jpeg_color_space;
  info_.scale_num = 1;
  info_.scale_denom = 8;
  info_.do_fancy_upsampling = FALSE;
  jpeg_start_decompress(&info_);
  const size_t stride = size_t{info_.output_width} * static_cast<size_t>(info_.output_components);
  pixels_.resize(stride);
  JSAMPROW row = pixels_.data();
  while (info_.output_scanline < info_.output_height) jpeg_read_scanlines(&info_, &row, 1);
  jpeg_finish_decompress(&info_);
  return true;
}

void JpegDecoder::check(std::string_view encoded) {
  open(encoded);
  is_header_read_ = false;
  if (!read_to_end()) fail();
}

DecodedRegion JpegDecoder::decode(std::string_view encoded, const PixelRect& region,
                                  int denominator) {
  if (!is_header_read_) open(encoded);
  is_header_read_ = false;
  if (!start(denominator)) fail();
  const int width = static_cast<int>(info_.output_width);
  const int height = static_cast<int>(info_.output_height);
  const int left = region.x / denominator;
  const int top = region.y / denominator;
  const int right = std::min(width, (region.x + region.width + denominator - 1) / denominator);
  const int bottom = std::min(height, (region.y + region.height + denominator - 1) / denominator);
  // Smooth upsampling of the colour looks one column to each side; two more columns keep the edge
  // of the crop as in a full decode.
  const int safe_left = std::max(0, left - 2);
  const int safe_right = std::min(width, right + 2);
  const bool is_cmyk = info_.out_color_space == JCS_CMYK;
  const bool is_inverted = info_.saw_Adobe_marker;
  if (!read_rows(top, bottom - top, static_cast<JDIMENSION>(safe_left),
                 static_cast<JDIMENSION>(safe_right - safe_left))) {
    fail();
  }
  const int num_columns = static_cast<int>(num_columns_);
  cv::Mat rows;
  if (is_cmyk) {
    rows.create(bottom - top, num_columns, CV_8UC3);
    convert_cmyk(pixels_.data(), rows.data, rows.total(), is_inverted);
  } else {
    rows = cv::Mat(bottom - top, num_columns, CV_8UC3, pixels_.data());
  }
  const int inset = left - static_cast<int>(column_);
  return {rows.colRange(inset, inset + right - left), left, top, denominator};
}

}  // namespace podium::data_shards
