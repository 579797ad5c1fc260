// Reads the end record, the central directory and the local headers of a zip.
#include "data_shards/format/npz_index.h"

#include <fmt/format.h>

#include <string_view>

#include "base/error.h"
#include "data_shards/format/mapped_file.h"

namespace podium::data_shards {
namespace {

constexpr uint32_t kAskZip64 = 0xffffffff;  // the value stands in the zip64 field

class Zip {
 public:
  Zip(const std::filesystem::path& file, std::string_view bytes)
      : file_(file.string()), bytes_(bytes) {}

  std::map<std::string, NpzMember> members() const {
    const size_t end = find_end();
    uint64_t count = number(end + 10, 2);
    uint64_t at = number(end + 16, 4);
    if (at == kAskZip64 || count == 0xffff) {
      const uint64_t end64 = number(end - 20 + 8, 8);  // named by the locator before the end record
      expect(end64, "PK\x06\x06");
      count = number(end64 + 32, 8);
      at = number(end64 + 48, 8);
    }
    std::map<std::string, NpzMember> members;
    for (uint64_t i = 0; i < count; ++i) at = add_member(at, &members);
    return members;
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw DataError(fmt::format("{}: {}; save it again with numpy.savez", file_, reason));
  }

  uint64_t number(uint64_t at, size_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at) fail("the archive is cut");
    uint64_t value = 0;
    for (size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes_[at + i]);
    return value;
  }

  void expect(uint64_t at, std::string_view signature) const {
    if (at > bytes_.size() || bytes_.substr(at, 4) != signature) fail("the archive is damaged");
  }

  size_t find_end() const {
    const size_t at = bytes_.rfind("PK\x05\x06");
    if (at == std::string_view::npos || at < 20) fail("it is no .npz (zip) file, or is cut");
    return at;
  }

  // One entry of the central directory; returns where the next begins.
  uint64_t add_member(uint64_t at, std::map<std::string, NpzMember>* members) const {
    expect(at, "PK\x01\x02");
    const uint64_t method = number(at + 10, 2);
    uint64_t size = number(at + 24, 4);
    const uint64_t name_length = number(at + 28, 2);
    const uint64_t extra_length = number(at + 30, 2);
    uint64_t local = number(at + 42, 4);
    const uint64_t next = at + 46 + name_length + extra_length + number(at + 32, 2);
    if (next > bytes_.size()) fail("the archive is cut");
    std::string name(bytes_.substr(at + 46, name_length));
    if (method != 0) {
      fail(fmt::format("array \"{}\" is compressed and cannot be read in place", name));
    }
    read_zip64(at + 46 + name_length, extra_length, number(at + 20, 4) == kAskZip64, &size, &local);
    expect(local, "PK\x03\x04");
    const uint64_t data = local + 30 + number(local + 26, 2) + number(local + 28, 2);
    if (data > bytes_.size() || size > bytes_.size() - data) fail("the archive is cut");
    if (name.size() > 4 && name.substr(name.size() - 4) == ".npy") name.resize(name.size() - 4);
    (*members)[name] = {static_cast<int64_t>(data), static_cast<int64_t>(size)};
    return next;
  }

  // The extra field 1 holds, in this order, those of size, compressed size and position that did
  // not fit into 32 bits.
  void read_zip64(uint64_t at, uint64_t length, bool has_compressed, uint64_t* size,
                  uint64_t* local) const {
    const uint64_t end = at + length;
    while (at + 4 <= end) {
      const uint64_t field_length = number(at + 2, 2);
      if (number(at, 2) == 1) {
        at += 4;
        if (*size == kAskZip64) {
          *size = number(at, 8);
          at += 8;
        }
        if (has_compressed) at += 8;
        if (*local == kAskZip64) *local = number(at, 8);
        return;
      }
      at += 4 + field_length;
    }
  }

  std::string file_;
  std::string_view bytes_;
};

}  // namespace

std::map<std::string, NpzMember> index_npz(const std::filesystem::path& file) {
  const MappedFile mapped(file);
  return Zip(file, mapped.bytes()).members();
}

}  // namespace podium::data_shards
