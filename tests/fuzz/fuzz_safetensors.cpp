// Any bytes as a safetensors file: refused, or every array lies within the file and is as long as
// its shape says.
#include "base/safetensors_file.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace podium;
  const fuzz::InputFile input(data, size);
  return fuzz::expect_data_error_at_most([&] {
    const SafetensorsFile file(input.path());
    size_t total = 0;
    unsigned char sum = 0;  // reads every byte, for the address sanitizer
    for (const auto& [name, array] : file.arrays()) {
      size_t bytes = size_of(array.dtype);
      for (const int64_t extent : array.shape) bytes *= static_cast<size_t>(extent);
      if (bytes != array.data.size()) std::abort();
      for (const char byte : array.data) sum = static_cast<unsigned char>(sum + byte);
      total += bytes;
    }
    if (total > size || (total == 0 && sum != 0)) std::abort();
  });
}
