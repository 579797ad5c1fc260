// A walk over the file's chunks to the TIFF block, and over its first directory.
#include "data_shards/decode/exif.h"

#include <cstdint>
#include <opencv2/core.hpp>

namespace podium::data_shards {
namespace {

// Unsigned number of `size` bytes; 0 when it lies outside.
uint64_t number_at(std::string_view bytes, size_t at, size_t size, bool is_big_endian) {
  if (at > bytes.size() || size > bytes.size() - at) return 0;
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) {
    const size_t from = is_big_endian ? i : size - 1 - i;
    value = value << 8 | static_cast<unsigned char>(bytes[at + from]);
  }
  return value;
}

// Orientation in the first directory of a TIFF block.
int orientation_of_tiff(std::string_view tiff) {
  const bool is_big_endian = tiff.substr(0, 2) == "MM";
  if (!is_big_endian && tiff.substr(0, 2) != "II") return 1;
  const size_t directory = number_at(tiff, 4, 4, is_big_endian);
  const size_t num_entries = number_at(tiff, directory, 2, is_big_endian);
  for (size_t i = 0; i < num_entries; ++i) {
    const size_t entry = directory + 2 + 12 * i;
    if (number_at(tiff, entry, 2, is_big_endian) != 0x0112) continue;
    const auto value = static_cast<int>(number_at(tiff, entry + 8, 2, is_big_endian));
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

std::string_view tiff_of_jpeg(std::string_view bytes) {
  constexpr std::string_view kMark("Exif\0\0", 6);
  for (size_t at = 2; at + 4 <= bytes.size() && bytes[at] == '\xff';) {
    const auto marker = static_cast<unsigned char>(bytes[at + 1]);
    const size_t length = number_at(bytes, at + 2, 2, true);  // with its own two bytes
    if (marker == 0xda || length < 2) break;                  // the image data begin
    const std::string_view data = bytes.substr(at + 4).substr(0, length - 2);
    if (marker == 0xe1 && data.substr(0, kMark.size()) == kMark) return data.substr(kMark.size());
    at += 2 + length;
  }
  return {};
}

std::string_view tiff_of_png(std::string_view bytes) {
  for (size_t at = 8; at + 12 <= bytes.size();) {
    const size_t length = number_at(bytes, at, 4, true);
    if (bytes.substr(at + 4, 4) == "eXIf") return bytes.substr(at + 8).substr(0, length);
    at += 12 + length;
  }
  return {};
}

std::string_view tiff_of_webp(std::string_view bytes) {
  for (size_t at = 12; at + 8 <= bytes.size();) {
    const size_t length = number_at(bytes, at + 4, 4, false);
    if (bytes.substr(at, 4) == "EXIF") {
      const std::string_view data = bytes.substr(at + 8).substr(0, length);
      return data.substr(0, 4) == "Exif" ? data.substr(std::min<size_t>(6, data.size())) : data;
    }
    at += 8 + length + length % 2;
  }
  return {};
}

}  // namespace

int exif_orientation(std::string_view bytes) {
  std::string_view tiff;
  if (bytes.substr(0, 2) == "\xff\xd8") tiff = tiff_of_jpeg(bytes);
  if (bytes.substr(0, 4) == "\x89PNG") tiff = tiff_of_png(bytes);
  if (bytes.substr(0, 4) == "RIFF") tiff = tiff_of_webp(bytes);
  return orientation_of_tiff(tiff);
}

cv::Mat upright(const cv::Mat& pixels, int orientation) {
  // 5 to 8 are stored transposed; then rows, columns or both run backwards.
  cv::Mat turned = pixels;
  if (orientation >= 5) turned = pixels.t();
  cv::Mat result;
  switch (orientation) {
    case 2:
    case 6:
      cv::flip(turned, result, 1);
      return result;
    case 3:
    case 7:
      cv::flip(turned, result, -1);
      return result;
    case 4:
    case 8:
      cv::flip(turned, result, 0);
      return result;
    default:
      return turned;
  }
}

}  // namespace podium::data_shards
