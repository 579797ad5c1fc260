// Finding of segments, and the source that hands libjpeg some of them. Read next: decode_jpeg.cpp.
#include "data_shards/decode/jpeg_part.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace podium::data_shards {
namespace {

constexpr std::string_view kEndOfImage("\xff\xd9", 2);
constexpr int kFirstRestart = 0xd0;  // the markers count from 0xd0 to 0xd7 and on from 0xd0

int divide_up(int value, int divisor) { return (value + divisor - 1) / divisor; }

uint8_t byte_at(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }

}  // namespace

// Reads every byte once, at memory speed: less than 1 % of a decode, and it needs no table of
// offsets beside the file.
bool JpegPart::find_segments(std::string_view encoded, size_t scan, size_t num_segments) {
  starts_.assign(1, scan);
  ends_.clear();
  for (size_t at = scan; at < encoded.size();) {
    const void* found = std::memchr(encoded.data() + at, 0xff, encoded.size() - at);
    if (found == nullptr) return false;
    const auto marker = static_cast<size_t>(static_cast<const char*>(found) - encoded.data());
    at = marker + 1;
    while (at < encoded.size() && byte_at(encoded, at) == 0xff) ++at;  // filling
    if (at == encoded.size()) return false;
    const int code = byte_at(encoded, at++);
    if (code == 0) continue;  // a byte 0xff of the data
    ends_.push_back(marker);
    if (code == byte_at(kEndOfImage, 1)) return ends_.size() == num_segments;
    if (code != kFirstRestart + static_cast<int>((ends_.size() - 1) % 8)) return false;
    starts_.push_back(at);
  }
  return false;
}

// The header with another size in its frame (marker SOF0 or SOF1).
bool JpegPart::copy_header(std::string_view header, int width, int height) {
  header_ = header;
  for (size_t at = 2; at + 9 <= header.size();) {
    const int code = byte_at(header, at + 1);
    if (byte_at(header, at) != 0xff || code == 0x01 || (code >= kFirstRestart && code <= 0xd8)) {
      return false;
    }
    if (code == 0xff) {  // filling
      ++at;
    } else if (code == 0xc0 || code == 0xc1) {
      header_[at + 5] = static_cast<char>(height >> 8);
      header_[at + 6] = static_cast<char>(height);
      header_[at + 7] = static_cast<char>(width >> 8);
      header_[at + 8] = static_cast<char>(width);
      return true;
    } else {
      at += 2 + size_t{256} * byte_at(header, at + 2) + byte_at(header, at + 3);
    }
  }
  return false;
}

bool JpegPart::choose(const jpeg_decompress_struct& info, std::string_view encoded,
                      const PixelRect& needed) {
  if (info.restart_interval == 0 || info.progressive_mode || info.arith_code ||
      info.comps_in_scan != info.num_components) {
    return false;
  }
  const bool is_interleaved = info.comps_in_scan > 1;  // else an MCU is one block
  const int mcu_width = DCTSIZE * (is_interleaved ? info.max_h_samp_factor : 1);
  const int mcu_height = DCTSIZE * (is_interleaved ? info.max_v_samp_factor : 1);
  const int width = static_cast<int>(info.image_width);
  const int height = static_cast<int>(info.image_height);
  const int interval = static_cast<int>(info.restart_interval);
  const int columns = divide_up(width, mcu_width);
  const bool is_part_of_row = columns % interval == 0;
  if (!is_part_of_row && interval % columns != 0) return false;
  const int segment_width = mcu_width * (is_part_of_row ? interval : columns);
  const int segment_height = mcu_height * (is_part_of_row ? 1 : interval / columns);
  const int across = divide_up(width, segment_width);
  const int down = divide_up(height, segment_height);
  const int left = needed.x / segment_width;
  const int top = needed.y / segment_height;
  const int right = divide_up(needed.x + needed.width, segment_width);
  const int bottom = divide_up(needed.y + needed.height, segment_height);
  const bool is_full_width = left == 0 && right == across;
  if (is_full_width && top == 0) return false;

  x_ = left * segment_width;
  y_ = top * segment_height;
  const auto scan = static_cast<size_t>(reinterpret_cast<const char*>(info.src->next_input_byte) -
                                        encoded.data());
  if (!copy_header(encoded.substr(0, scan), std::min(width, right * segment_width) - x_,
                   std::min(height, bottom * segment_height) - y_) ||
      !find_segments(encoded, scan, static_cast<size_t>(across) * static_cast<size_t>(down))) {
    return false;
  }
  chunks_.assign(1, header_);
  const auto add_segments = [&](int first, int last) {
    // With its marker, unless it is the first: a scan does not begin with one.
    const size_t begin = starts_[static_cast<size_t>(first)] - (chunks_.size() > 1 ? 2 : 0);
    chunks_.push_back(encoded.substr(begin, ends_[static_cast<size_t>(last)] - begin));
  };
  if (is_full_width) {
    add_segments(top * across, bottom * across - 1);
  } else {
    for (int row = top; row < bottom; ++row) {
      add_segments(row * across + left, row * across + right - 1);
    }
  }
  chunks_.push_back(kEndOfImage);
  return true;
}

void JpegPart::attach(jpeg_decompress_struct* info) {
  source_.part = this;
  source_.base.init_source = [](j_decompress_ptr) {};
  source_.base.term_source = [](j_decompress_ptr) {};
  source_.base.fill_input_buffer = &JpegPart::fill_input_buffer;
  source_.base.skip_input_data = &JpegPart::skip_input_data;
  source_.base.resync_to_restart = &JpegPart::resync_to_restart;
  source_.base.bytes_in_buffer = 0;
  source_.base.next_input_byte = nullptr;
  next_chunk_ = 0;
  info->src = &source_.base;
}

boolean JpegPart::fill_input_buffer(j_decompress_ptr info) {
  auto* source = reinterpret_cast<Source*>(info->src);
  JpegPart& part = *source->part;
  // Behind the last chunk its marker comes again, so that damaged data find an end.
  const std::string_view chunk =
      part.next_chunk_ < part.chunks_.size() ? part.chunks_[part.next_chunk_++] : kEndOfImage;
  source->base.next_input_byte = reinterpret_cast<const JOCTET*>(chunk.data());
  source->base.bytes_in_buffer = chunk.size();
  return TRUE;
}

void JpegPart::skip_input_data(j_decompress_ptr info, long num_bytes) {
  // Only markers of the header are skipped, and libjpeg has read it whole before.
  const size_t count =
      std::min(static_cast<size_t>(std::max(num_bytes, 0L)), info->src->bytes_in_buffer);
  info->src->next_input_byte += count;
  info->src->bytes_in_buffer -= count;
}

// The markers keep the numbers of the whole file; find_segments() has seen that they are right.
boolean JpegPart::resync_to_restart(j_decompress_ptr info, int desired) {
  if (info->unread_marker < kFirstRestart || info->unread_marker >= kFirstRestart + 8) {
    return jpeg_resync_to_restart(info, desired);
  }
  info->unread_marker = 0;
  return TRUE;
}

}  // namespace podium::data_shards
