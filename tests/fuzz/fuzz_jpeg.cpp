// Any bytes as an encoded image: refused, or decoded to pixels of the size that the header says,
// whole, in part and reduced.
#include <algorithm>

#include "data_shards/decode/decode.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace podium;
  using namespace podium::data_shards;
  constexpr int64_t kMostPixels = 1 << 16;  // larger ones cost time and find nothing else
  // Only JPEGs: the other formats are decoded by OpenCV's libraries, which have fuzzers of their
  // own.
  if (size < 3 || data[0] != 0xff || data[1] != 0xd8 || data[2] != 0xff) return 0;
  static ImageDecoder decoder;  // one image after another, as a loader's thread does
  return fuzz::expect_data_error_at_most([&] {
    decoder.open(fuzz::text_of(data, size));
    const int width = decoder.width(), height = decoder.height();
    if (width < 1 || height < 1) std::abort();
    if (int64_t{width} * height > kMostPixels) return;
    const PixelRect part{width / 4, height / 3, std::max(1, width / 2), std::max(1, height / 2)};
    const int denominator = decoder.best_denominator(part, 1 + part.width / 4, 1 + part.height / 4);
    const DecodedRegion reduced = decoder.decode(part, denominator);
    if (reduced.pixels.empty()) std::abort();
    const DecodedRegion whole = decoder.decode();
    if (whole.pixels.cols != width || whole.pixels.rows != height) std::abort();
  });
}
