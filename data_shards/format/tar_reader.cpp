// Walks the headers of an archive without reading its data.
#include "data_shards/format/tar_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/text.h"
#include "data_shards/format/tar_format.h"

namespace podium::data_shards {
namespace {

constexpr int64_t kLongestExtension = 1 << 20;  // bytes

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
    return {buffer_.data(), read(offset, buffer_.data(), buffer_.size())};
  }
  std::string bytes(int64_t offset, int64_t size) {
    std::string data(static_cast<size_t>(size), '\0');
    data.resize(read(offset, data.data(), data.size()));
    return data;
  }

 private:
  size_t read(int64_t offset, char* target, size_t size) {
    size_t done = 0;
    while (done < size) {
      const ssize_t got =
          pread(descriptor_, target + done, size - done, offset + static_cast<int64_t>(done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail();
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }
  [[noreturn]] void fail() const {
    throw IoError(fmt::format("cannot read {}: {}; check the path and its permissions", name_,
                              std::strerror(errno)));
  }
  std::string name_;
  int descriptor_ = -1;
  int64_t size_ = 0;
  std::array<char, kTarBlock> buffer_{};
};

// What the headers before a member say of it: PAX records ("LENGTH KEY=VALUE\n") and GNU's long
// name. Source: POSIX.1-2001, pax extended header; GNU tar manual, "Basic Tar Format".
class Extension {
 public:
  // Errors: DataError, without a place.
  void read(char type, const std::string& data) {
    if (type == 'L') {
      name_ = data.substr(0, data.find('\0'));
    } else if (type == 'x') {
      read_records(data);
    }
    // 'g' (comments and defaults of all members) and 'K' (a link's target) say nothing of a file.
  }

  // Gives the member its long name and size, and forgets them.
  void apply(TarHeader* header) {
    if (!name_.empty()) header->name = name_;
    if (size_ >= 0) header->size = size_;
    name_.clear();
    size_ = -1;
  }

 private:
  void read_records(const std::string& data) {
    for (size_t at = 0; at < data.size();) {
      const size_t space = data.find(' ', at);
      const auto length =
          parse_int(std::string_view(data).substr(at, space == std::string::npos ? 0 : space - at));
      if (!length || *length < 5 || static_cast<size_t>(*length) > data.size() - at) {
        throw DataError("a damaged PAX header; copy the file again");
      }
      const std::string record =
          data.substr(space + 1, at + static_cast<size_t>(*length) - space - 2);
      at += static_cast<size_t>(*length);
      const size_t equals = record.find('=');
      const std::string key = record.substr(0, equals);
      const std::string value = equals == std::string::npos ? "" : record.substr(equals + 1);
      if (key == "path") name_ = value;
      if (key == "size") size_ = parse_int(value).value_or(-1);
      if (key.rfind("GNU.sparse.", 0) == 0) {
        throw DataError(
            "a sparse member, whose bytes are not all there; write it with tar without "
            "--sparse");
      }
    }
  }

  std::string name_;
  int64_t size_ = -1;
};

}  // namespace

std::vector<TarMember> list_tar(const std::filesystem::path& file) {
  ReadOnlyFile input(file);
  std::vector<TarMember> members;
  Extension extension;
  int num_zero_blocks = 0;
  for (int64_t at = 0; num_zero_blocks < 2;) {
    const std::string place = fmt::format("{}: offset {}", file.string(), at);
    if (at >= input.size()) {
      throw DataError(place +
                      ": the archive ends without its two blocks of zeros; it is "
                      "truncated, copy it again or repack");
    }
    auto header = decode_tar_header(input.block(at), place);
    at += kTarBlock;
    if (!header) {
      ++num_zero_blocks;
      continue;
    }
    num_zero_blocks = 0;
    const bool is_extension = std::string_view("xgLK").find(header->type) != std::string_view::npos;
    if (!is_extension) extension.apply(&*header);
    if (!is_extension && header->type != '0' && header->type != '5') {
      throw DataError(
          fmt::format("{}: member \"{}\" has tar type '{}', but a shard holds regular "
                      "files only; write it with tar --format=ustar --dereference",
                      place, header->name, header->type));
    }
    const int64_t end = at + padded_tar_size(header->size);
    if (header->size < 0 || end > input.size()) {
      throw DataError(
          fmt::format("{}: member \"{}\" ends at byte {}, but the file has {} bytes; "
                      "it is truncated, copy it again or repack",
                      place, header->name, end, input.size()));
    }
    if (is_extension) {
      if (header->size > kLongestExtension) {
        throw DataError(
            fmt::format("{}: {} bytes of extended header; the file is damaged, copy it "
                        "again",
                        place, header->size));
      }
      with_context(place, [&] { extension.read(header->type, input.bytes(at, header->size)); });
    }
    if (header->type == '0') members.push_back({header->name, at, header->size});
    at = end;
  }
  return members;
}

}  // namespace podium::data_shards
