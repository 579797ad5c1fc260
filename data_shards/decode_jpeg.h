// libjpeg-turbo behind C++ errors. Read next: decode.cpp.
#pragma once

// jpeglib.h needs FILE and size_t before it.
// clang-format off
#include <cstddef>
#include <cstdio>
#include <jpeglib.h>
// clang-format on

#include <csetjmp>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data_shards/decode.h"

namespace podium::data_shards {

// One reusable decompressor, strict: what libjpeg only warns of is a DataError, because it fills
// what it cannot read with gray. Every call that enters libjpeg arms the jump target first; no
// frame with a destructor lies between.
class JpegDecoder {
 public:
  JpegDecoder();
  ~JpegDecoder();
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  // Reads the header. Errors (of all calls): DataError "cannot decode the image: REASON; ...".
  void open(std::string_view encoded);
  int width() const { return static_cast<int>(info_.image_width); }
  int height() const { return static_cast<int>(info_.image_height); }
  DecodedRegion decode(std::string_view encoded, const PixelRect& region, int denominator);
  // Decodes all entropy-coded data up to the end of the image, at an eighth of the size, and
  // forgets the pixels. width() and height() are valid afterwards.
  void check(std::string_view encoded);

 private:
  struct ErrorManager {
    jpeg_error_mgr base;  // first, because libjpeg hands back a pointer to it
    std::jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
  };
  static void on_error(j_common_ptr info);
  static void on_message(j_common_ptr info, int level);
  // False when libjpeg has failed; the reason is in error_.message.
  bool read_header(std::string_view encoded);
  bool start(int denominator);
  bool read_to_end();
  bool read_rows(int num_rows_before, int num_rows, JDIMENSION first_column,
                 JDIMENSION num_columns);
  [[noreturn]] void fail();

  jpeg_decompress_struct info_{};
  ErrorManager error_{};
  bool is_header_read_ = false;
  std::vector<uint8_t> pixels_;  // rows of the last region
  JDIMENSION column_ = 0;  // first and number of columns that libjpeg has delivered: whole blocks
  JDIMENSION num_columns_ = 0;
};

}  // namespace podium::data_shards
