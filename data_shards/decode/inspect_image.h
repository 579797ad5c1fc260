// What an encoded image is, found by decoding it whole. Read next: mask.h, decode.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <opencv2/core/mat.hpp>
#include <string>
#include <string_view>

namespace podium::data_shards {

struct ImageInfo {
  std::string extension;  // by content: "jpg", "png", "webp", "tif", "npy"
  int32_t width = 0;      // px, as stored (an EXIF orientation is not applied)
  int32_t height = 0;
};

// True for a file name that ends like an image (jpg, jpeg, png, webp, tif, tiff, npy; any case).
bool has_image_name(const std::filesystem::path& file);

// Decodes the whole image and forgets the pixels. For JPEG what libjpeg only warns of (a cut file,
// a wrong code) is an error. Errors: DataError "cannot decode the image: REASON ...", without a
// place.
ImageInfo inspect_image(std::string_view bytes);

// The whole image with the channels and bits that the file has, BGR. A PNG without its end is an
// error. Errors: as inspect_image().
cv::Mat decode_unchanged(std::string_view bytes);
[[noreturn]] void fail_decoding(std::string_view reason);

}  // namespace podium::data_shards
