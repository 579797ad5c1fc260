// A whole file as read-only memory.
#pragma once

#include <filesystem>
#include <string_view>

namespace podium::data_shards {

// Errors: IoError names the file. A file that becomes shorter while it is mapped ends the process
// (SIGBUS), so what is mapped must not be written to.
class MappedFile {
 public:
  enum class Access { kFrontToBack, kRandom };
  explicit MappedFile(const std::filesystem::path& file, Access access = Access::kFrontToBack);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::string_view bytes() const { return {static_cast<const char*>(data_), size_}; }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace podium::data_shards
