// libjpeg's errors and warnings as a jump and a message. Read next: decode_jpeg.h, jpeg_restarts.h.
#pragma once

// jpeglib.h needs FILE and size_t before it.
// clang-format off
#include <cstddef>
#include <cstdio>
#include <jpeglib.h>
// clang-format on

#include <csetjmp>

namespace podium::data_shards {

// Strict: what libjpeg only warns of is an error, because it fills what it cannot read with gray.
// Every call that enters libjpeg arms `jump` first; no frame with a destructor lies between.
struct JpegErrors {
  jpeg_error_mgr base;  // first, because libjpeg hands back a pointer to it
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];  // of the error that has jumped

  // For the `err` of a decompressor or a compressor.
  jpeg_error_mgr* install();
};

}  // namespace podium::data_shards
