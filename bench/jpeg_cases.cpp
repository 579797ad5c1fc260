// The shared cases. Read next: decode_bench.cpp.
#include "bench/jpeg_cases.h"

#include <sys/resource.h>

#include <cstdlib>

#include "data_shards/decode/decode.h"
#include "data_shards/decode/jpeg_errors.h"

namespace podium::data_shards {

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void report(benchmark::State& state, double num_images, double cpu) {
  state.counters["images_per_cpu_second"] = num_images / cpu;
  state.counters["images_per_second"] = benchmark::Counter(num_images, benchmark::Counter::kIsRate);
}

void decode_entropy_only(benchmark::State& state, const std::vector<std::string>& jpegs) {
  JpegErrors errors;
  jpeg_decompress_struct info{};
  info.err = errors.install();
  if (setjmp(errors.jump)) std::abort();
  jpeg_create_decompress(&info);
  size_t i = 0;
  const double start = cpu_seconds();
  for (auto _ : state) {
    const std::string& jpeg = jpegs[i++ % jpegs.size()];
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(jpeg.data()), jpeg.size());
    jpeg_read_header(&info, TRUE);
    benchmark::DoNotOptimize(jpeg_read_coefficients(&info));
    jpeg_finish_decompress(&info);
  }
  report(state, static_cast<double>(i), cpu_seconds() - start);
  jpeg_destroy_decompress(&info);
}

void decode_all(benchmark::State& state, const std::vector<std::string>& jpegs) {
  ImageDecoder decoder;
  size_t i = 0;
  const double start = cpu_seconds();
  for (auto _ : state) {
    decoder.open(jpegs[i++ % jpegs.size()]);
    benchmark::DoNotOptimize(decoder.decode().pixels.data);
  }
  report(state, static_cast<double>(i), cpu_seconds() - start);
}

}  // namespace podium::data_shards
