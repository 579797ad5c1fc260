// Parsing of the header's Python dictionary, and conversion of items.
#include "data_shards/format/npy_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/text.h"

namespace podium::data_shards {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr int64_t kLargestExtent = int64_t{1} << 40;

[[noreturn]] void fail(const std::string& reason) {
  throw DataError("the .npy array " + reason + "; save it again with numpy.save");
}

// What stands behind 'KEY': in the dictionary, up to the end of the text.
std::string_view value_of(std::string_view text, const std::string& key) {
  const size_t at = text.find("'" + key + "'");
  const size_t colon = at == std::string_view::npos ? at : text.find(':', at);
  if (colon == std::string_view::npos) fail("has no '" + key + "' in its header");
  const std::string_view value = text.substr(colon + 1);
  return value.substr(std::min(value.find_first_not_of(' '), value.size()));
}

std::vector<int64_t> parse_shape(std::string_view value) {
  const size_t end = value.find(')');
  if (value.empty() || value.front() != '(' || end == std::string_view::npos) {
    fail("has a shape that is no tuple");
  }
  std::vector<int64_t> shape;
  int64_t num_items = 1;
  for (const std::string& word : split(value.substr(1, end - 1), ',')) {
    if (trim(word).empty()) continue;
    const auto extent = parse_int(trim(word));
    if (!extent || *extent < 0 || (*extent > 0 && num_items > kLargestExtent / *extent)) {
      fail(fmt::format("has the extent \"{}\" in its shape", word));
    }
    num_items *= std::max<int64_t>(*extent, 1);
    shape.push_back(*extent);
  }
  return shape;
}

std::string parse_dtype(std::string_view value) {
  if (value.empty() || value.front() != '\'') fail("has a structured type");
  std::string dtype(value.substr(1, value.find('\'', 1) - 1));
  static const std::vector<std::string> kKnown = {"|b1", "|u1", "|i1", "<u2", "<i2", "<u4",
                                                  "<i4", "<u8", "<i8", "<f4", "<f8"};
  if (std::find(kKnown.begin(), kKnown.end(), dtype) == kKnown.end()) {
    fail(fmt::format("has type \"{}\", but {} are read", dtype, join(kKnown, " ")));
  }
  return dtype;
}

std::string describe(const NpyHeader& header) {
  std::vector<std::string> extents;
  for (const int64_t extent : header.shape) extents.push_back(std::to_string(extent));
  return fmt::format("has type {} and shape ({})", header.dtype, join(extents, ", "));
}

std::string_view data_of(const NpyHeader& header, std::string_view bytes) {
  const auto offset = static_cast<size_t>(header.data_offset);
  if (static_cast<int64_t>(bytes.size() - offset) < header.num_bytes()) {
    fail(fmt::format("holds {} bytes of data, but its shape needs {}", bytes.size() - offset,
                     header.num_bytes()));
  }
  return bytes.substr(offset);
}

template <typename Number>
void append_numbers(std::string_view data, int64_t count, std::vector<double>* numbers) {
  for (int64_t i = 0; i < count; ++i) {
    Number number;
    std::memcpy(&number, data.data() + static_cast<size_t>(i) * sizeof(Number), sizeof(Number));
    numbers->push_back(static_cast<double>(number));
  }
}

}  // namespace

int64_t NpyHeader::item_bytes() const { return dtype.back() - '0'; }

int64_t NpyHeader::num_items() const {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  return count;
}

int64_t NpyHeader::num_bytes() const { return num_items() * item_bytes(); }

bool is_npy(std::string_view bytes) { return bytes.substr(0, kMagic.size()) == kMagic; }

NpyHeader parse_npy_header(std::string_view bytes) {
  if (!is_npy(bytes) || bytes.size() < 12) fail("does not start like one, or is cut");
  const int version = bytes[6];
  const size_t length_bytes = version == 1 ? 2 : 4;
  if (version < 1 || version > 3) fail(fmt::format("has version {}, but 1 to 3 are read", version));
  size_t length = 0;
  for (size_t i = 0; i < length_bytes; ++i) {
    length |= size_t{static_cast<unsigned char>(bytes[8 + i])} << (8 * i);
  }
  const size_t start = 8 + length_bytes;
  if (length > bytes.size() - start) fail("ends within its header");
  const std::string_view text = bytes.substr(start, length);
  NpyHeader header;
  header.dtype = parse_dtype(value_of(text, "descr"));
  header.shape = parse_shape(value_of(text, "shape"));
  header.data_offset = static_cast<int64_t>(start + length);
  const bool is_one_row = std::count_if(header.shape.begin(), header.shape.end(),
                                        [](int64_t extent) { return extent > 1; }) < 2;
  if (value_of(text, "fortran_order").substr(0, 4) == "True" && !is_one_row) {
    fail("lies in Fortran order; use numpy.ascontiguousarray");
  }
  return header;
}

std::string npy_header(const std::string& dtype, const std::vector<int64_t>& shape) {
  std::string extents;
  for (const int64_t extent : shape) extents += fmt::format("{}, ", extent);
  if (shape.size() > 1) extents.resize(extents.size() - 2);
  if (shape.size() == 1) extents.pop_back();
  std::string text =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", dtype, extents);
  constexpr size_t kStart = 10;
  text.append(63 - (kStart + text.size()) % 64, ' ');
  text.push_back('\n');
  std::string header(kMagic);
  header.append(
      {'\x01', '\x00', static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)});
  return header + text;
}

std::string encode_npy(const cv::Mat& pixels) {
  std::vector<int64_t> shape = {pixels.rows, pixels.cols};
  if (pixels.channels() > 1) shape.push_back(pixels.channels());
  std::string bytes = npy_header("|u1", shape);
  for (int y = 0; y < pixels.rows; ++y) {
    bytes.append(pixels.ptr<char>(y), static_cast<size_t>(pixels.cols) * pixels.elemSize());
  }
  return bytes;
}

cv::Mat image_of_npy(std::string_view bytes) {
  const NpyHeader header = parse_npy_header(bytes);
  const bool is_byte = header.dtype == "|u1" || header.dtype == "|b1";
  const auto& shape = header.shape;
  const bool is_image =
      shape.size() == 2 || (shape.size() == 3 && (shape[2] == 1 || shape[2] == 3 || shape[2] == 4));
  const bool fits =
      is_image && shape[0] > 0 && shape[1] > 0 && shape[0] < (1 << 30) && shape[1] < (1 << 30);
  if (!fits || (!is_byte && header.dtype != "<u2")) {
    fail(describe(header) + ", but an image is uint8 or uint16, (H, W) or (H, W, 1, 3 or 4)");
  }
  const int channels = shape.size() == 3 ? static_cast<int>(shape[2]) : 1;
  return {static_cast<int>(shape[0]), static_cast<int>(shape[1]),
          CV_MAKETYPE(is_byte ? CV_8U : CV_16U, channels),
          const_cast<char*>(data_of(header, bytes).data())};
}

cv::Mat mask_of_npy(std::string_view bytes) {
  const NpyHeader header = parse_npy_header(bytes);
  std::vector<int64_t> shape = header.shape;
  if (shape.size() == 3 && shape[2] == 1) shape.pop_back();
  if (shape.size() != 2 || header.num_items() == 0 || header.dtype[1] == 'f') {
    fail(describe(header) + ", but a mask is an (H, W) array of integers");
  }
  const std::string_view data = data_of(header, bytes);
  cv::Mat mask(static_cast<int>(shape[0]), static_cast<int>(shape[1]), CV_8UC1);
  if (header.item_bytes() == 1 && header.dtype != "|i1") {
    std::memcpy(mask.data, data.data(), mask.total());
    return mask;
  }
  const std::vector<double> values = numbers_of_npy(header, data);
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] < 0 || values[i] > 255) {
      fail(fmt::format("holds the mask value {}, but 0 to 255 are possible", values[i]));
    }
    mask.data[i] = static_cast<uint8_t>(values[i]);
  }
  return mask;
}

std::vector<double> numbers_of_npy(const NpyHeader& header, std::string_view data) {
  if (static_cast<int64_t>(data.size()) < header.num_bytes()) {
    fail(fmt::format("holds {} bytes of data, but its shape needs {}", data.size(),
                     header.num_bytes()));
  }
  std::vector<double> numbers;
  const int64_t count = header.num_items();
  numbers.reserve(static_cast<size_t>(count));
  const std::string& type = header.dtype;
  if (type == "|b1" || type == "|u1") append_numbers<uint8_t>(data, count, &numbers);
  if (type == "|i1") append_numbers<int8_t>(data, count, &numbers);
  if (type == "<u2") append_numbers<uint16_t>(data, count, &numbers);
  if (type == "<i2") append_numbers<int16_t>(data, count, &numbers);
  if (type == "<u4") append_numbers<uint32_t>(data, count, &numbers);
  if (type == "<i4") append_numbers<int32_t>(data, count, &numbers);
  if (type == "<u8") append_numbers<uint64_t>(data, count, &numbers);
  if (type == "<i8") append_numbers<int64_t>(data, count, &numbers);
  if (type == "<f4") append_numbers<float>(data, count, &numbers);
  if (type == "<f8") append_numbers<double>(data, count, &numbers);
  return numbers;
}

}  // namespace podium::data_shards
