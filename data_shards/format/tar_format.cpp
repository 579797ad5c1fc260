// Encoding and decoding of USTAR headers (POSIX.1-1988, pax Interchange Format, ustar table).
#include "data_shards/format/tar_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace podium::data_shards {
namespace {

struct FieldRange {
  size_t offset;
  size_t size;
};
constexpr FieldRange kName{0, 100};
constexpr FieldRange kMode{100, 8};
constexpr FieldRange kUid{108, 8};
constexpr FieldRange kGid{116, 8};
constexpr FieldRange kSize{124, 12};
constexpr FieldRange kMtime{136, 12};
constexpr FieldRange kChecksum{148, 8};
constexpr size_t kType = 156;
constexpr FieldRange kMagic{257, 8};  // "ustar\0" and version "00"
constexpr FieldRange kPrefix{345, 155};
constexpr int64_t kMaxSize = int64_t{1} << 33;  // 11 octal digits

void put_octal(std::array<char, kTarBlock>& block, FieldRange field, int64_t value) {
  const std::string digits = fmt::format("{:0{}o}", value, field.size - 1);
  std::memcpy(block.data() + field.offset, digits.data(), digits.size());
}

// Sum of all bytes with the checksum field read as spaces.
int64_t checksum(std::string_view block) {
  int64_t sum = 0;
  for (size_t i = 0; i < block.size(); ++i) {
    const bool is_checksum = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.size;
    sum += is_checksum ? ' ' : static_cast<unsigned char>(block[i]);
  }
  return sum;
}

std::string text_of(std::string_view block, FieldRange field) {
  const std::string_view text = block.substr(field.offset, field.size);
  return std::string(text.substr(0, text.find('\0')));
}

int64_t octal_of(std::string_view block, FieldRange field, const std::string& place,
                 const char* what) {
  const auto first = static_cast<unsigned char>(block[field.offset]);
  if (first & 0x80) {  // GNU: too large for octal digits, so binary, most significant byte first
    int64_t value = first & 0x7f;
    for (size_t i = 1; i < field.size && value < (int64_t{1} << 48); ++i) {
      value = value << 8 | static_cast<unsigned char>(block[field.offset + i]);
    }
    if (value < (int64_t{1} << 48)) return value;
  }
  int64_t value = 0;
  bool has_digit = false;
  for (char c : block.substr(field.offset, field.size)) {
    if (c == '\0' || (c == ' ' && has_digit)) break;
    if (c == ' ') continue;
    if (c < '0' || c > '7') {
      throw DataError(
          fmt::format("{}: {} of the tar header is not an octal number; the file is "
                      "damaged, copy it again or repack",
                      place, what));
    }
    value = value * 8 + (c - '0');
    has_digit = true;
  }
  return value;
}

// Name of the compression that a file with this start has; null for none.
const char* compression_of(std::string_view start) {
  if (start.substr(0, 2) == "\x1f\x8b") return "gzip";
  if (start.substr(0, 3) == "BZh") return "bzip2";
  if (start.substr(0, 5) ==
      "\xfd"
      "7zXZ")
    return "xz";
  if (start.substr(0, 4) == "\x28\xb5\x2f\xfd") return "zstd";
  return nullptr;
}

// Position of the slash that divides `name` into prefix and name field; npos when none fits.
size_t split_position(const std::string& name) {
  for (size_t i = name.find('/'); i != std::string::npos; i = name.find('/', i + 1)) {
    const size_t rest = name.size() - i - 1;
    if (i > 0 && i <= kPrefix.size && rest > 0 && rest <= kName.size) return i;
  }
  return std::string::npos;
}

}  // namespace

std::array<char, kTarBlock> encode_tar_header(const std::string& name, int64_t size) {
  if (name.empty() || name.find_first_of(" \t\r\n\v\f") != std::string::npos) {
    throw DataError(
        fmt::format("tar member \"{}\": a name needs at least one character and no "
                    "white space; rename it",
                    name));
  }
  if (size < 0 || size >= kMaxSize) {
    throw DataError(fmt::format("tar member \"{}\": {} bytes, but a member may have 8 GiB at most",
                                name, size));
  }
  std::array<char, kTarBlock> block{};
  std::string_view prefix;
  std::string_view rest = name;
  if (name.size() > kName.size) {
    const size_t slash = split_position(name);
    if (slash == std::string::npos) {
      throw DataError(
          fmt::format("tar member \"{}\": the name has {} bytes, but 100 (or 155 + 100 "
                      "divided at a slash) is the most; shorten the key",
                      name, name.size()));
    }
    prefix = rest.substr(0, slash);
    rest = rest.substr(slash + 1);
  }
  std::copy(rest.begin(), rest.end(), block.begin() + kName.offset);
  std::copy(prefix.begin(), prefix.end(), block.begin() + kPrefix.offset);
  put_octal(block, kMode, 0444);
  put_octal(block, kUid, 0);
  put_octal(block, kGid, 0);
  put_octal(block, kSize, size);
  put_octal(block, kMtime, 0);
  block[kType] = '0';
  std::memcpy(block.data() + kMagic.offset, "ustar\00000", kMagic.size);
  // Six digits, NUL, space: the form every tar writes.
  const std::string sum = fmt::format("{:06o}", checksum({block.data(), block.size()}));
  std::memcpy(block.data() + kChecksum.offset, sum.data(), sum.size());
  block[kChecksum.offset + 7] = ' ';
  return block;
}

std::optional<TarHeader> decode_tar_header(std::string_view block, const std::string& place) {
  if (const char* packed = compression_of(block)) {
    throw DataError(
        fmt::format("{}: the file is compressed ({}), so that its members cannot be "
                    "found one by one; unpack it, then run again",
                    place, packed));
  }
  if (block.size() != static_cast<size_t>(kTarBlock)) {
    throw DataError(
        fmt::format("{}: {} bytes where a tar header of 512 was expected; the file is "
                    "truncated, copy it again or repack",
                    place, block.size()));
  }
  if (std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; })) {
    return std::nullopt;
  }
  const int64_t expected = octal_of(block, kChecksum, place, "checksum");
  const int64_t found = checksum(block);
  if (found != expected) {
    throw DataError(
        fmt::format("{}: tar header has checksum {}, expected {}; the file is damaged "
                    "or no tar, copy it again or repack",
                    place, found, expected));
  }
  TarHeader header;
  header.name = text_of(block, kName);
  // GNU's own format has "ustar  " here and times where POSIX has the prefix.
  if (block.substr(kMagic.offset, 6) == std::string_view("ustar\0", 6)) {
    const std::string prefix = text_of(block, kPrefix);
    if (!prefix.empty()) header.name = prefix + "/" + header.name;
  }
  header.size = octal_of(block, kSize, place, "size");
  header.type = block[kType] == '\0' ? '0' : block[kType];
  return header;
}

}  // namespace podium::data_shards
