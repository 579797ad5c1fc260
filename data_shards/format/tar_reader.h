// The members of a tar archive, from its headers. Read next: shard_index.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace podium::data_shards {

struct TarMember {
  std::string name;
  int64_t offset = 0;  // of the first data byte
  int64_t size = 0;    // bytes
};

// Regular members in archive order; folders are passed over. USTAR, PAX and GNU (long names, sizes
// over 8 GiB). Checks every header's checksum, that every member lies inside the file, and the
// end-of-archive blocks. Errors: IoError; DataError "FILE: offset N: ..." for a damaged or
// truncated archive and for what a shard may not hold (links, sparse files, compression).
std::vector<TarMember> list_tar(const std::filesystem::path& file);

}  // namespace podium::data_shards
