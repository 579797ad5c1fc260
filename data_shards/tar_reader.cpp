// Walks the headers of an archive without reading its data.
#include "data_shards/tar_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "data_shards/tar_format.h"

namespace podium::data_shards {
namespace {

class ReadOnlyFile {
 public:
  explicit ReadOnlyFile(const std::filesystem::path& file) : name_(file.string()) {
    descriptor_ = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (descriptor_ < 0 || fstat(descriptor_, &status) != 0) fail();
    size_ = status.st_size;
  }
  ~ReadOnlyFile() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  ReadOnlyFile(const ReadOnlyFile&) = delete;
  ReadOnlyFile& operator=(const ReadOnlyFile&) = delete;

  int64_t size() const { return size_; }
  // Up to one block; shorter at the end of the file.
  std::string_view block(int64_t offset) {
    size_t done = 0;
    while (done < buffer_.size()) {
      const ssize_t got = pread(descriptor_, buffer_.data() + done, buffer_.size() - done,
                                offset + static_cast<int64_t>(done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail();
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return {buffer_.data(), done};
  }

 private:
  [[noreturn]] void fail() const {
    throw IoError(fmt::format("cannot read {}: {}; check the path and its permissions", name_,
                              std::strerror(errno)));
  }
  std::string name_;
  int descriptor_ = -1;
  int64_t size_ = 0;
  std::array<char, kTarBlock> buffer_{};
};

}  // namespace

std::vector<TarMember> list_tar(const std::filesystem::path& file) {
  ReadOnlyFile input(file);
  std::vector<TarMember> members;
  int num_zero_blocks = 0;
  for (int64_t at = 0; num_zero_blocks < 2;) {
    const std::string place = fmt::format("{}: offset {}", file.string(), at);
    if (at >= input.size()) {
      throw DataError(place +
                      ": the archive ends without its two blocks of zeros; it is "
                      "truncated, copy it again or repack");
    }
    const auto header = decode_tar_header(input.block(at), place);
    at += kTarBlock;
    if (!header) {
      ++num_zero_blocks;
      continue;
    }
    num_zero_blocks = 0;
    if (header->type != '0' && header->type != '5') {
      throw DataError(
          fmt::format("{}: member \"{}\" has tar type '{}', but a shard holds regular "
                      "files only; write it with tar --format=ustar --dereference",
                      place, header->name, header->type));
    }
    const int64_t end = at + padded_tar_size(header->size);
    if (end > input.size()) {
      throw DataError(
          fmt::format("{}: member \"{}\" ends at byte {}, but the file has {} bytes; "
                      "it is truncated, copy it again or repack",
                      place, header->name, end, input.size()));
    }
    if (header->type == '0') members.push_back({header->name, at, header->size});
    at = end;
  }
  return members;
}

}  // namespace podium::data_shards
