// Decoding of JPEGs on one thread, images per CPU-second: entropy decoding alone (the limit of
// whatever reads a whole JPEG), a full decode, and random crops (35 % to 100 % of the area, as in
// the comparison of loaders) with and without restart markers. Rendered images, quality 90, 4:2:0.
// "bytes" is the mean size of a file; restart_px 65536 puts markers at the ends of rows only.
#include <cmath>
#include <map>

#include "base/rng.h"
#include "bench/jpeg_cases.h"
#include "bench/rendered_jpegs.h"
#include "data_shards/decode/decode.h"
#include "data_shards/decode/jpeg_restarts.h"

namespace podium::data_shards {
namespace {

constexpr int kNumImages = 16;
constexpr int kNumCrops = 1021;  // prime, so that every image meets many crops
constexpr int kOutput = 224;     // px, decides how far libjpeg reduces

// Rendered once: that takes longer than all decoding.
const std::vector<std::string>& rendered(int side) {
  static std::map<int, std::vector<std::string>> by_side;
  std::vector<std::string>& images = by_side[side];
  for (int i = static_cast<int>(images.size()); i < kNumImages; ++i) {
    images.push_back(rendered_jpeg(i, side));
  }
  return images;
}

// The images of one size; restart_px as in `podium pack --jpeg_restart_px`, 0: as encoded.
std::vector<std::string> images_of(int side, int restart_px) {
  std::vector<std::string> images = rendered(side);
  for (std::string& jpeg : images) {
    if (restart_px > 0) jpeg = with_restart_markers(jpeg, restart_px);
  }
  return images;
}

double mean_bytes(const std::vector<std::string>& images) {
  double total = 0;
  for (const std::string& image : images) total += static_cast<double>(image.size());
  return total / static_cast<double>(images.size());
}

// As random_resized_crop draws them: area and logarithm of the aspect ratio uniform.
std::vector<PixelRect> random_crops(int side, double smallest_area) {
  Rng rng(1, RandomPurpose::kDemo);
  std::vector<PixelRect> crops;
  while (crops.size() < kNumCrops) {
    const double area = rng.uniform(smallest_area, 1) * side * side;
    const double ratio = std::exp(rng.uniform(std::log(3.0 / 4), std::log(4.0 / 3)));
    PixelRect crop;
    crop.width = static_cast<int>(std::lround(std::sqrt(area * ratio)));
    crop.height = static_cast<int>(std::lround(std::sqrt(area / ratio)));
    if (crop.width > side || crop.height > side) continue;
    crop.x = static_cast<int>(rng.below(static_cast<uint64_t>(side - crop.width + 1)));
    crop.y = static_cast<int>(rng.below(static_cast<uint64_t>(side - crop.height + 1)));
    crops.push_back(crop);
  }
  return crops;
}

void entropy_only(benchmark::State& state) {
  const std::vector<std::string> images = images_of(static_cast<int>(state.range(0)), 0);
  decode_entropy_only(state, images);
  state.counters["bytes"] = mean_bytes(images);
}
BENCHMARK(entropy_only)->ArgName("px")->Arg(256)->Arg(512);

void full_decode(benchmark::State& state) {
  decode_all(state, images_of(static_cast<int>(state.range(0)), 0));
}
BENCHMARK(full_decode)->ArgName("px")->Arg(256)->Arg(512);

void crop_decode(benchmark::State& state) {
  const auto side = static_cast<int>(state.range(0));
  const std::vector<std::string> images = images_of(side, static_cast<int>(state.range(1)));
  const auto crops = random_crops(side, 0.01 * static_cast<double>(state.range(2)));
  ImageDecoder decoder;
  size_t i = 0;
  const double start = cpu_seconds();
  for (auto _ : state) {
    const PixelRect& crop = crops[i % crops.size()];
    decoder.open(images[i++ % images.size()]);
    const int denominator = decoder.best_denominator(crop, kOutput, kOutput);
    benchmark::DoNotOptimize(decoder.decode(crop, denominator).pixels.data);
  }
  report(state, static_cast<double>(i), cpu_seconds() - start);
  state.counters["bytes"] = mean_bytes(images);
}
BENCHMARK(crop_decode)
    ->ArgNames({"px", "restart_px", "least_area_percent"})
    ->ArgsProduct({{256, 512}, {0, 1 << 16, 64, 32, 16}, {35, 8}});

}  // namespace
}  // namespace podium::data_shards

BENCHMARK_MAIN();
