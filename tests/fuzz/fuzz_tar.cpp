// Any bytes as a tar archive: refused, or every member lies within the file.
#include "data_shards/format/tar_reader.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace podium;
  const fuzz::InputFile input(data, size);
  return fuzz::expect_data_error_at_most([&] {
    const auto bytes = static_cast<int64_t>(size);
    for (const data_shards::TarMember& member : data_shards::list_tar(input.path())) {
      if (member.offset < 0 || member.size < 0 || member.size > bytes - member.offset) std::abort();
    }
  });
}
