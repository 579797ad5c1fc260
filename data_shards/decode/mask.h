// Masks of class indices: decoding, counting, encoding. Read next: decode.h.
#pragma once

#include <array>
#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace podium::data_shards {

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
