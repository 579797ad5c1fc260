// XXH3 digests of bytes and files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace podium {

uint64_t xxh3_64(std::string_view bytes, uint64_t seed = 0);
// 32 lower-case hex digits of XXH3-128, in the canonical (big-endian) order that `xxhsum -H2`
// prints.
std::string xxh3_128_hex(std::string_view bytes);
// Errors: IoError names the file.
std::string xxh3_128_hex_of_file(const std::filesystem::path& file);

// XXH3-128 of a stream of pieces; equal to xxh3_128_hex of their concatenation.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  void update(const void* data, size_t num_bytes);
  void update(std::string_view bytes) { update(bytes.data(), bytes.size()); }
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace podium
