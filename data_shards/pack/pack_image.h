// Checks of images and masks before they are packed. Read next: pack_shard.h.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <opencv2/core/mat.hpp>
#include <string>
#include <string_view>
#include <vector>

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

// Pixels (H, W) CV_8UC1 of a mask as stored: a PNG of one channel and 8 bits, or a .npy of
// integers. Errors: DataError when it is neither.
cv::Mat decode_mask(std::string_view bytes);

// Pixels of each value.
std::array<int64_t, 256> mask_histogram(const cv::Mat& mask);

// Pixels of each of the K classes; 255 is not counted.
// Errors: DataError naming a value that is neither a class nor 255.
std::vector<int64_t> count_mask_pixels(const cv::Mat& mask, int64_t num_classes);

// PNG of a CV_8UC1 mask.
std::string encode_mask(const cv::Mat& mask);

}  // namespace podium::data_shards
