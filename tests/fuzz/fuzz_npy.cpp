// Any bytes as a .npy array: refused, or read as an image, a mask and numbers within its bytes.
#include "data_shards/format/npy_format.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace podium;
  const std::string_view bytes = fuzz::text_of(data, size);
  fuzz::expect_data_error_at_most([&] {
    const data_shards::NpyHeader header = data_shards::parse_npy_header(bytes);
    if (header.data_offset < 0 || static_cast<size_t>(header.data_offset) > size) return;
    const auto rest = bytes.substr(static_cast<size_t>(header.data_offset));
    const auto numbers = data_shards::numbers_of_npy(header, rest);
    if (static_cast<int64_t>(numbers.size()) != header.num_items()) std::abort();
  });
  fuzz::expect_data_error_at_most([&] {
    const cv::Mat image = data_shards::image_of_npy(bytes);
    if (image.total() * image.elemSize() > size) std::abort();
  });
  return fuzz::expect_data_error_at_most([&] { data_shards::mask_of_npy(bytes); });
}
