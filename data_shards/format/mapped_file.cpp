// Mapping by mmap.
#include "data_shards/format/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace podium::data_shards {

MappedFile::MappedFile(const std::filesystem::path& file, Access access) {
  const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  const bool is_open = descriptor >= 0 && fstat(descriptor, &status) == 0;
  size_ = static_cast<size_t>(status.st_size);
  if (is_open && size_ > 0) data_ = mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor, 0);
  const int error = errno;
  if (descriptor >= 0) close(descriptor);
  if (!is_open || data_ == MAP_FAILED) {
    data_ = nullptr;
    throw IoError(fmt::format("cannot read {}: {}; check the path and its permissions",
                              file.string(), std::strerror(error)));
  }
  if (data_ == nullptr) return;
  madvise(data_, size_, access == Access::kRandom ? MADV_RANDOM : MADV_SEQUENTIAL);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace podium::data_shards
