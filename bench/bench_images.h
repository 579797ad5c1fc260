// What benchmarks of the loader share: rendered JPEGs, and time by processor instead of by clock.
#pragma once

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <cmath>
#include <cstdint>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "base/rng.h"

namespace podium::data_shards {

// Of all threads of this process.
inline double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Waves of many lengths with falling amplitude (as photographs have) and a few edges and some
// grain.
inline std::string render_jpeg(int number, int side) {
  Rng rng(static_cast<uint64_t>(number), RandomPurpose::kDemo);
  cv::Mat image(side, side, CV_8UC3, cv::Scalar::all(0));
  struct Wave {
    double x, y, phase, amplitude, colour[3];
  };
  std::vector<Wave> waves(24);
  for (size_t i = 0; i < waves.size(); ++i) {
    const double frequency = 0.01 * std::pow(1.22, static_cast<double>(i));
    const double angle = rng.uniform(0, 6.28);
    waves[i] = {frequency * std::cos(angle),
                frequency * std::sin(angle),
                rng.uniform(0, 6.28),
                30 / (1 + 0.25 * static_cast<double>(i)),
                {rng.uniform(0.7, 1), rng.uniform(0.7, 1), rng.uniform(0.7, 1)}};
  }
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      const double grain = 10 * rng.normal();
      const double edge = (x / 37 + y / 29 + number) % 2 ? 30 : 0;
      for (int channel = 0; channel < 3; ++channel) {
        double value = 110 + edge + grain;
        for (const Wave& wave : waves) {
          value += wave.amplitude * wave.colour[channel] *
                   std::sin(wave.x * x + wave.y * y + wave.phase);
        }
        image.at<cv::Vec3b>(y, x)[channel] = cv::saturate_cast<uint8_t>(value);
      }
    }
  }
  std::vector<uint8_t> bytes;
  cv::imencode(".jpg", image, bytes, {cv::IMWRITE_JPEG_QUALITY, 90});
  return {bytes.begin(), bytes.end()};
}

inline void report(benchmark::State& state, double num_images, double cpu) {
  state.counters["images_per_cpu_second"] = num_images / cpu;
  state.counters["images_per_second"] = benchmark::Counter(num_images, benchmark::Counter::kIsRate);
}

}  // namespace podium::data_shards
