// Where the arrays of a .npz (a zip of .npy members) lie. Read next: pack_arrays.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace podium::data_shards {

struct NpzMember {
  int64_t offset = 0;  // of the .npy inside the file
  int64_t size = 0;    // bytes
};

// Members by name without ".npy", from the zip's central directory (zip64 too). Source: PKWARE
// APPNOTE 6.3. Errors: IoError; DataError "FILE: ..." for a file that is no zip, a cut one, and a
// compressed member (numpy.savez_compressed), which cannot be read in place.
std::map<std::string, NpzMember> index_npz(const std::filesystem::path& file);

}  // namespace podium::data_shards
