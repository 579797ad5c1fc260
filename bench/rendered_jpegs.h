// JPEGs with the detail of photographs, for the benchmarks of decoding and loading. Read next:
// rendered_jpegs.cpp, loader_bench.cpp.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace podium::data_shards {

// Image `number` of side x side px: quality 90, 4:2:0. About 24 kB at 256 px and 84 kB at 512 px.
std::string rendered_jpeg(int number, int side);

// The .jpg files of a folder by name. Errors: IoError.
std::vector<std::string> read_jpegs(const std::filesystem::path& folder);

}  // namespace podium::data_shards
