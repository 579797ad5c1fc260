// Any text as a run-length code of a small mask, whose sides the first two bytes give: refused, or
// a mask that is read back from its own code.
#include "base/rle.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace podium;
  if (size < 2) return 0;
  const int64_t height = data[0] % 16 + 1, width = data[1] % 16 + 1;
  const std::string_view text = fuzz::text_of(data + 2, size - 2);
  return fuzz::expect_data_error_at_most([&] {
    for (const RleOrder order : {RleOrder::kRowMajor, RleOrder::kColumnMajor}) {
      const auto mask = decode_rle(text, height, width, order);
      const std::string code = encode_rle(mask, height, width, order);
      if (decode_rle(code, height, width, order) != mask) std::abort();
    }
  });
}
