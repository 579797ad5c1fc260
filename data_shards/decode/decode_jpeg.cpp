// Cropped and reduced JPEG decoding with libjpeg-turbo. Read next: decode.cpp.
#include "data_shards/decode/decode_jpeg.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace podium::data_shards {
namespace {

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

// `shown` with the pixels around it that smooth upsampling of the colour looks at, so that the edge
// of a crop is as in a full decode: one row (rows are cut exactly), and two columns.
PixelRect with_surroundings(const PixelRect& shown, int width, int height) {
  // Of narrower images libjpeg repeats the colours instead.
  constexpr int kLeastSmoothed = 5;
  const int right = std::min(width, std::max(shown.x + shown.width + 2, kLeastSmoothed));
  const int left = std::max(0, std::min(shown.x - 2, right - kLeastSmoothed));
  const int top = std::max(0, shown.y - 1);
  return {left, top, right - left, std::min(height, shown.y + shown.height + 1) - top};
}

}  // namespace

JpegDecoder::JpegDecoder() {
  info_.err = errors_.install();
  if (setjmp(errors_.jump)) throw InternalError(std::string("libjpeg: ") + errors_.message);
  jpeg_create_decompress(&info_);
}

JpegDecoder::~JpegDecoder() { jpeg_destroy_decompress(&info_); }

void JpegDecoder::fail() {
  jpeg_abort_decompress(&info_);
  is_header_read_ = false;
  throw DataError(fmt::format(
      "cannot decode the image: {}; replace the file, or --on_bad_sample=skip", errors_.message));
}

bool JpegDecoder::read_header(std::string_view encoded) {
  if (setjmp(errors_.jump)) return false;
  jpeg_abort_decompress(&info_);
  info_.src = memory_source_;
  jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(encoded.data()), encoded.size());
  memory_source_ = info_.src;
  jpeg_read_header(&info_, TRUE);
  return true;
}

bool JpegDecoder::read_part_header() {
  if (setjmp(errors_.jump)) return false;
  jpeg_abort_decompress(&info_);
  part_.attach(&info_);
  jpeg_read_header(&info_, TRUE);
  return true;
}

void JpegDecoder::open(std::string_view encoded) {
  if (!read_header(encoded)) fail();
  is_header_read_ = true;
}

bool JpegDecoder::start(int denominator) {
  if (setjmp(errors_.jump)) return false;
  const bool is_cmyk = info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK;
  info_.out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
  info_.scale_num = 1;
  info_.scale_denom = static_cast<unsigned>(denominator);
  jpeg_start_decompress(&info_);
  return true;
}

bool JpegDecoder::read_rows(int num_rows_before, int num_rows, JDIMENSION first_column,
                            JDIMENSION num_columns) {
  if (setjmp(errors_.jump)) return false;
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
  if (setjmp(errors_.jump)) return false;
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

bool JpegDecoder::decode_part(std::string_view encoded, const PixelRect& shown, int denominator) {
  const PixelRect around = with_surroundings(shown, (width() + denominator - 1) / denominator,
                                             (height() + denominator - 1) / denominator);
  const int left = around.x * denominator;
  const int top = around.y * denominator;
  const PixelRect needed = {left, top, std::min(width() - left, around.width * denominator),
                            std::min(height() - top, around.height * denominator)};
  if (!part_.choose(info_, encoded, needed)) return false;
  is_header_read_ = false;
  if (!read_part_header() || !start(denominator)) return false;
  const int x = part_.x() / denominator;  // exact: parts begin at whole blocks
  const int y = part_.y() / denominator;
  if (!read_rows(shown.y - y, shown.height, static_cast<JDIMENSION>(around.x - x),
                 static_cast<JDIMENSION>(around.width))) {
    return false;
  }
  column_ += static_cast<JDIMENSION>(x);
  return true;
}

bool JpegDecoder::decode_from_top(std::string_view encoded, const PixelRect& shown,
                                  int denominator) {
  if (!is_header_read_) open(encoded);
  is_header_read_ = false;
  if (!start(denominator)) return false;
  const PixelRect around = with_surroundings(shown, static_cast<int>(info_.output_width),
                                             static_cast<int>(info_.output_height));
  return read_rows(shown.y, shown.height, static_cast<JDIMENSION>(around.x),
                   static_cast<JDIMENSION>(around.width));
}

DecodedRegion JpegDecoder::decode(std::string_view encoded, const PixelRect& region,
                                  int denominator) {
  if (!is_header_read_) open(encoded);
  const PixelRect shown = reduced_region(region, denominator, width(), height());
  // What a part has against it libjpeg shall say of the whole.
  if (!decode_part(encoded, shown, denominator) && !decode_from_top(encoded, shown, denominator)) {
    fail();
  }
  const int num_columns = static_cast<int>(num_columns_);
  cv::Mat rows;
  if (info_.out_color_space == JCS_CMYK) {
    rows.create(shown.height, num_columns, CV_8UC3);
    convert_cmyk(pixels_.data(), rows.data, rows.total(), info_.saw_Adobe_marker);
  } else {
    rows = cv::Mat(shown.height, num_columns, CV_8UC3, pixels_.data());
  }
  const int inset = shown.x - static_cast<int>(column_);
  return {rows.colRange(inset, inset + shown.width), shown.x, shown.y, denominator};
}

}  // namespace podium::data_shards
