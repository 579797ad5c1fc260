// NumPy's .npy arrays: header, pixels and plain numbers. Format: numpy.lib.format, version 1 to 3.
// Read next: npz_index.h.
#pragma once

#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace podium::data_shards {

struct NpyHeader {
  std::string dtype;  // "|u1", "<f4"; little-endian or single bytes
  std::vector<int64_t> shape;
  int64_t data_offset = 0;  // bytes, from the start of the .npy

  int64_t item_bytes() const;
  int64_t num_items() const;  // product of the shape
  int64_t num_bytes() const;  // of the data
};

// True when the bytes start like a .npy.
bool is_npy(std::string_view bytes);

// The header; `bytes` may end after it. Errors: DataError without a place for a cut or malformed
// header, Fortran order, big-endian numbers, objects and other types that are no plain numbers.
NpyHeader parse_npy_header(std::string_view bytes);

// Magic, version 1.0 and header, filled to a multiple of 64, as numpy writes it.
std::string npy_header(const std::string& dtype, const std::vector<int64_t>& shape);

// A whole .npy of 8-bit pixels (H, W) or (H, W, C).
std::string encode_npy(const cv::Mat& pixels);

// Pixels over the bytes, without a copy: (H, W) or (H, W, C), uint8 or uint16 (bool counts as
// uint8). Errors: DataError naming type and shape of anything else, or for data that end too early.
cv::Mat image_of_npy(std::string_view bytes);

// A mask (H, W) of any integer type, or bool, as CV_8UC1.
// Errors: DataError for another shape or type, or a value outside 0..255.
cv::Mat mask_of_npy(std::string_view bytes);

// The items as doubles. Errors: DataError for data that end too early.
std::vector<double> numbers_of_npy(const NpyHeader& header, std::string_view data);

}  // namespace podium::data_shards
