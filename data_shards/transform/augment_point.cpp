// Point operations: tables where a value depends on itself alone, one pass over the pixels where
// not.
#include "data_shards/transform/augment_point.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <vector>

#include "data_shards/pixels/pixel_kernels.h"

namespace podium::data_shards {
namespace {

using Histogram = std::array<int64_t, 256>;
using Tables = std::array<ByteTable, 3>;

uint8_t cut(double value) { return static_cast<uint8_t>(std::clamp(value, 0.0, 255.0)); }

// from + factor * (to - from), cut to bytes; what is left after the point is dropped.
uint8_t blend(int from, int to, float factor) {
  const float value = static_cast<float>(from) + factor * static_cast<float>(to - from);
  return static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f));
}

template <typename Value>
ByteTable make_table(const Value& value) {
  ByteTable table;
  for (int i = 0; i < 256; ++i) table[static_cast<size_t>(i)] = value(i);
  return table;
}

// Calls row(values, number of values) for each row, or once where the rows follow each other.
template <typename Row>
void for_each_row(cv::Mat* image, const Row& row) {
  const int n = image->cols * 3;
  if (image->isContinuous()) {
    row(image->data, n * image->rows);
    return;
  }
  for (int y = 0; y < image->rows; ++y) row(image->ptr<uint8_t>(y), n);
}

// Two counters a channel, so that equal neighbours do not wait for each other.
std::array<Histogram, 3> histograms(cv::Mat* image) {
  std::array<std::array<uint32_t, 256>, 6> counts{};
  for_each_row(image, [&](const uint8_t* values, int n) {
    int i = 0;
    for (; i + 6 <= n; i += 6) {
      for (size_t j = 0; j < 6; ++j) ++counts[j][values[i + static_cast<int>(j)]];
    }
    for (; i < n; ++i) ++counts[static_cast<size_t>(i % 3)][values[i]];
  });
  std::array<Histogram, 3> result{};
  for (size_t j = 0; j < 6; ++j) {
    for (size_t value = 0; value < 256; ++value) result[j % 3][value] += counts[j][value];
  }
  return result;
}

void apply_tables(const Tables& tables, cv::Mat* image) {
  for_each_row(image, [&](uint8_t* values, int n) {
    pixel_kernels().map(tables.data()->data(), values, n, values);
  });
}

template <typename Make>
void apply_by_histogram(cv::Mat* image, const Make& make) {
  const std::array<Histogram, 3> counts = histograms(image);
  apply_tables({make(counts[0]), make(counts[1]), make(counts[2])}, image);
}

ByteTable identity() {
  return make_table([](int value) { return static_cast<uint8_t>(value); });
}

ByteTable autocontrast_table(const Histogram& counts) {
  const auto is_there = [](int64_t count) { return count > 0; };
  const auto first = std::find_if(counts.begin(), counts.end(), is_there);
  const auto last = std::find_if(counts.rbegin(), counts.rend(), is_there);
  const int low = static_cast<int>(first - counts.begin());
  const int high = 255 - static_cast<int>(last - counts.rbegin());
  if (high <= low) return identity();
  const double scale = 255.0 / (high - low);
  const double offset = -low * scale;
  return make_table([&](int value) { return cut(value * scale + offset); });
}

ByteTable equalize_table(const Histogram& counts) {
  int64_t total = 0, last = 0;
  for (const int64_t count : counts) {
    total += count;
    if (count > 0) last = count;
  }
  const int64_t step = (total - last) / 255;
  if (step == 0) return identity();
  int64_t sum = step / 2;
  return make_table([&](int value) {
    const auto result = static_cast<uint8_t>(std::min<int64_t>(sum / step, 255));
    sum += counts[static_cast<size_t>(value)];
    return result;
  });
}

// Hue, saturation and value as bytes, then the hue turned and back. The rounding of each stage is
// Pillow's.
void turn_hue(uint8_t* pixel, uint8_t turn) {
  const int red = pixel[0], green = pixel[1], blue = pixel[2];
  const int high = std::max({red, green, blue});
  const int low = std::min({red, green, blue});
  if (high == low) return;
  const auto range = static_cast<float>(high - low);
  const float to_red = static_cast<float>(high - red) / range;
  const float to_green = static_cast<float>(high - green) / range;
  const float to_blue = static_cast<float>(high - blue) / range;
  // In double, then cut to float, as there.
  auto hue = static_cast<float>(red == high     ? double{to_blue} - to_green
                                : green == high ? 2.0 + to_red - to_blue
                                                : 4.0 + to_green - to_red);
  hue = static_cast<float>(std::fmod(hue / 6.0 + 1.0, 1.0));
  const auto byte_hue = static_cast<uint8_t>(cut(hue * 255.0) + turn);
  const int byte_saturation = cut(range / static_cast<float>(high) * 255.0);
  if (byte_saturation == 0) {
    pixel[0] = pixel[1] = pixel[2] = static_cast<uint8_t>(high);
    return;
  }
  const double sixth = byte_hue * 6.0 / 255.0;
  const double saturation = byte_saturation / 255.0;
  const double within = sixth - std::floor(sixth);
  const auto rounded = [&](double share) { return cut(std::round(high * (1.0 - share))); };
  const uint8_t v = static_cast<uint8_t>(high);
  const uint8_t p = rounded(saturation);
  const uint8_t q = rounded(saturation * within);
  const uint8_t t = rounded(saturation * (1.0 - within));
  const std::array<std::array<uint8_t, 3>, 6> sectors = {
      {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}}};
  std::copy_n(sectors[static_cast<size_t>(sixth) % 6].begin(), 3, pixel);
}

}  // namespace

ByteTable brightness_table(double factor) {
  return make_table([&](int value) { return blend(0, value, static_cast<float>(factor)); });
}
ByteTable posterize_table(int bits) {
  const int kept = 0xff & ~((1 << (8 - bits)) - 1);
  return make_table([&](int value) { return static_cast<uint8_t>(value & kept); });
}
ByteTable solarize_table(double threshold) {
  return make_table(
      [&](int value) { return static_cast<uint8_t>(value < threshold ? value : 255 - value); });
}
ByteTable solarize_add_table(int added) {
  return make_table([&](int value) {
    return static_cast<uint8_t>(value < 128 ? std::min(255, value + added) : value);
  });
}
ByteTable invert_table() {
  return make_table([](int value) { return static_cast<uint8_t>(255 - value); });
}
ByteTable compose(const ByteTable& first, const ByteTable& second) {
  return make_table([&](int value) { return second[first[static_cast<size_t>(value)]]; });
}

void apply_table(const ByteTable& table, cv::Mat* image) {
  apply_tables({table, table, table}, image);
}

void adjust_contrast(double factor, cv::Mat* image) {
  int64_t sum = 0;
  for_each_row(
      image, [&](const uint8_t* values, int n) { sum += pixel_kernels().sum_gray(values, n / 3); });
  const auto num_pixels = static_cast<double>(image->total());
  const int mean = static_cast<int>(static_cast<double>(sum) / num_pixels + 0.5);
  apply_table(make_table([&](int v) { return blend(mean, v, static_cast<float>(factor)); }), image);
}

void adjust_saturation(double factor, cv::Mat* image) {
  constexpr int kChunk = 768;  // values whose gray values are made at once
  std::array<uint8_t, kChunk> gray;
  for_each_row(image, [&](uint8_t* values, int n) {
    for (int start = 0; start < n; start += kChunk) {
      uint8_t* chunk = values + start;
      const int length = std::min(kChunk, n - start);
      pixel_kernels().spread_gray(chunk, length / 3, gray.data());
      pixel_kernels().blend(gray.data(), static_cast<float>(factor), length, chunk);
    }
  });
}

void adjust_sharpness(double factor, cv::Mat* image) {
  if (image->rows < 3 || image->cols < 3) return;
  const auto by = static_cast<float>(factor);
  const int n = image->cols * 3;
  const auto width = static_cast<size_t>(n);
  // The image is changed in place, so the rows above are kept as they were.
  std::vector<uint8_t> above(image->ptr<uint8_t>(0), image->ptr<uint8_t>(0) + n);
  std::vector<uint8_t> here(width), smooth(width);
  for (int y = 1; y + 1 < image->rows; ++y) {
    uint8_t* row = image->ptr<uint8_t>(y);
    std::copy_n(row, n, here.begin());
    pixel_kernels().smooth(above.data() + 3, here.data() + 3, image->ptr<uint8_t>(y + 1) + 3, n - 6,
                           smooth.data() + 3);
    pixel_kernels().blend(smooth.data() + 3, by, n - 6, row + 3);
    std::swap(above, here);
  }
}

void adjust_hue(double turns, cv::Mat* image) {
  const auto turn = static_cast<uint8_t>(static_cast<int>(turns * 255));
  for_each_row(image, [&](uint8_t* values, int n) {
    for (int i = 0; i < n; i += 3) turn_hue(values + i, turn);
  });
}

void autocontrast(cv::Mat* image) { apply_by_histogram(image, autocontrast_table); }
void equalize(cv::Mat* image) { apply_by_histogram(image, equalize_table); }

}  // namespace podium::data_shards
