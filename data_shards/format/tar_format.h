// The 512-byte header block of a POSIX tar member (USTAR). Read next: tar_writer.h, tar_reader.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace podium::data_shards {

inline constexpr int64_t kTarBlock = 512;     // bytes; headers and data start at multiples
inline constexpr int64_t kTarRecord = 10240;  // bytes; an archive's length is a multiple

struct TarHeader {
  std::string name;
  int64_t size = 0;  // bytes of data
  char type = '0';   // '0' regular file
};

// Bytes that `size` bytes of data take in an archive, without the header.
constexpr int64_t padded_tar_size(int64_t size) {
  return (size + kTarBlock - 1) / kTarBlock * kTarBlock;
}

// Header of a regular file: mode 0444, owner 0, time 0, so that equal input gives equal bytes.
// Errors: DataError when the name fits neither 100 bytes nor prefix (155) + name (100), or holds
// white space.
std::array<char, kTarBlock> encode_tar_header(const std::string& name, int64_t size);

// nullopt for a block of zeros (end of archive).
// Errors: DataError "PLACE: ..." for a wrong checksum, magic or number.
std::optional<TarHeader> decode_tar_header(std::string_view block, const std::string& place);

}  // namespace podium::data_shards
