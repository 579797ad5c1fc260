// render_jpegs FOLDER SIDE COUNT: writes 00000.jpg ... and a labels.csv for `podium pack`, the
// files that loader_side_by_side.py gives to every loader.
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>

#include "bench/rendered_jpegs.h"

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "usage: render_jpegs FOLDER SIDE COUNT\n");
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  const int side = std::atoi(argv[2]), count = std::atoi(argv[3]);
  std::filesystem::create_directories(folder);
  std::ofstream csv(folder / "labels.csv");
  csv << "img_id,img_path,a\n";
  size_t num_bytes = 0;
  for (int i = 0; i < count; ++i) {
    const std::string name = fmt::format("{:05d}.jpg", i);
    const std::string bytes = podium::data_shards::rendered_jpeg(i, side);
    std::ofstream(folder / name, std::ios::binary) << bytes;
    csv << fmt::format("img_{},{},{}\n", i, name, i % 2);
    num_bytes += bytes.size();
  }
  fmt::print("{} JPEGs of {} px, {:.1f} kB on average\n", count, side,
             1e-3 * static_cast<double>(num_bytes) / count);
}
