// The part of a JPEG that a region needs, read as a smaller JPEG: restart markers let the decoder
// begin behind each of them. Read next: decode_jpeg.cpp.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "data_shards/decode/decode.h"
#include "data_shards/decode/jpeg_errors.h"

namespace podium::data_shards {

// Between two restart markers lies a segment, which can be decoded without the others. Where
// segments are whole MCU rows, or equal parts of one, those that cover a rectangle are an image of
// their own: the file's header with another width and height, and the segments' bytes as they lie
// in the file. Keeps its buffers.
class JpegPart {
 public:
  // Chooses the segments that cover `needed` (px, inside the image). `info` has read the header of
  // `encoded` and stands behind it. False where nothing can be left out above or beside `needed`:
  // no restart markers, progressive or arithmetic coding, several scans, segments of another kind,
  // and also where the markers are not those that the header promises, down to the end of the
  // image: such a file is for libjpeg to judge.
  bool choose(const jpeg_decompress_struct& info, std::string_view encoded,
              const PixelRect& needed);
  // Makes the part what `info` reads next, header first. Requires: choose() returned true, and the
  // bytes it was given still live.
  void attach(jpeg_decompress_struct* info);
  // Of the part's first pixel in the image (px), multiples of the size of an MCU.
  int x() const { return x_; }
  int y() const { return y_; }

 private:
  struct Source {
    jpeg_source_mgr base;  // first, because libjpeg hands back a pointer to it
    JpegPart* part;
  };
  static boolean fill_input_buffer(j_decompress_ptr info);
  static void skip_input_data(j_decompress_ptr info, long num_bytes);
  static boolean resync_to_restart(j_decompress_ptr info, int desired);
  bool find_segments(std::string_view encoded, size_t scan, size_t num_segments);
  bool copy_header(std::string_view header, int width, int height);

  Source source_{};
  std::string header_;
  std::vector<size_t> starts_;  // of the segments in the file, behind their markers
  std::vector<size_t> ends_;    // of the segments, before the next marker
  std::vector<std::string_view> chunks_;
  size_t next_chunk_ = 0;
  int x_ = 0;
  int y_ = 0;
};

}  // namespace podium::data_shards
