// libjpeg-turbo behind C++ errors. Read next: jpeg_part.h, decode.cpp.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "data_shards/decode/decode.h"
#include "data_shards/decode/jpeg_errors.h"
#include "data_shards/decode/jpeg_part.h"

namespace podium::data_shards {

// One reusable decompressor, strict (jpeg_errors.h).
class JpegDecoder {
 public:
  JpegDecoder();
  ~JpegDecoder();
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  // Reads the header. Errors (of all calls): DataError "cannot decode the image: REASON; ...".
  void open(std::string_view encoded);
  // Valid after open() and check().
  int width() const { return static_cast<int>(info_.image_width); }
  int height() const { return static_cast<int>(info_.image_height); }
  // Decodes from the top of the image to the region's last row; where the file has restart markers
  // (JpegPart) only the segments that the region touches, so that damage elsewhere goes unseen.
  DecodedRegion decode(std::string_view encoded, const PixelRect& region, int denominator);
  // Decodes all entropy-coded data up to the end of the image, at an eighth of the size, and
  // forgets the pixels.
  void check(std::string_view encoded);

 private:
  // False when libjpeg has failed; the reason is in errors_.message.
  bool read_header(std::string_view encoded);
  bool read_part_header();
  bool start(int denominator);
  bool read_to_end();
  bool read_rows(int num_rows_before, int num_rows, JDIMENSION first_column,
                 JDIMENSION num_columns);
  // `shown` in px of the reduced image. False when there is no such part or libjpeg has failed.
  bool decode_part(std::string_view encoded, const PixelRect& shown, int denominator);
  bool decode_from_top(std::string_view encoded, const PixelRect& shown, int denominator);
  [[noreturn]] void fail();

  jpeg_decompress_struct info_{};
  JpegErrors errors_{};
  jpeg_source_mgr* memory_source_ = nullptr;  // libjpeg's own
  JpegPart part_;
  bool is_header_read_ = false;
  std::vector<uint8_t> pixels_;  // rows of the last region
  // First and number of columns that libjpeg has delivered: whole blocks. px of the reduced image.
  JDIMENSION column_ = 0;
  JDIMENSION num_columns_ = 0;
};

}  // namespace podium::data_shards
