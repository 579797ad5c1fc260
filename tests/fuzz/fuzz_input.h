// What the fuzz targets share: a file in memory for readers that take a path, and the rule of what
// a reader may do with bad bytes. A target is one .cpp here, a seed folder corpus/NAME and a line
// in CMakeLists.txt.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"

namespace podium::fuzz {

// The bytes as a file that vanishes with this.
class InputFile {
 public:
  InputFile(const uint8_t* data, size_t size) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    if (fd_ < 0 || ::write(fd_, data, size) != static_cast<ssize_t>(size)) std::abort();
  }
  ~InputFile() { ::close(fd_); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Runs a reader. It may accept the bytes or throw a DataError of one line; anything else ends the
// fuzzer.
template <typename Reader>
int expect_data_error_at_most(Reader&& reader) {
  try {
    reader();
  } catch (const DataError& error) {
    if (std::string_view(error.what()).empty()) std::abort();
  }
  return 0;
}

}  // namespace podium::fuzz
