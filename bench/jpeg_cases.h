// What the benchmarks of decoding and loading share: time by processor instead of by clock, and the
// two limits that whole JPEGs set. Read next: decode_bench.cpp, loader_bench.cpp.
#pragma once

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

namespace podium::data_shards {

// Of all threads of this process.
double cpu_seconds();

// The counters images_per_cpu_second and images_per_second.
void report(benchmark::State& state, double num_images, double cpu);

// Entropy decoding into coefficients and nothing else: no decoder of whole JPEGs can be faster.
void decode_entropy_only(benchmark::State& state, const std::vector<std::string>& jpegs);

// All pixels.
void decode_all(benchmark::State& state, const std::vector<std::string>& jpegs);

}  // namespace podium::data_shards
