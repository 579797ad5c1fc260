// Point operations: tables where a value depends on itself alone, one pass over the pixels where
// not.
#include "data_shards/augment_point.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <vector>

#include "data_shards/resample.h"

namespace podium::data_shards {
namespace {

constexpr int kBlock = 16;  // values handled at once in rows

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
    for (int i = 0; i < n; i += 3) {
      values[i] = tables[0][values[i]];
      values[i + 1] = tables[1][values[i + 1]];
      values[i + 2] = tables[2][values[i + 2]];
    }
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

// The rounded 13th of the sum of the neighbours and 5 times the value.
inline uint8_t smooth_value(const uint8_t* above, const uint8_t* here, const uint8_t* below) {
  // Two bytes hold all values, so that 8 of them fit into a vector; up to 2 * 13 * 255 + 13.
  const auto twice =
      static_cast<uint16_t>(2 * (above[-3] + above[0] + above[3] + here[-3] + 5 * here[0] +
                                 here[3] + below[-3] + below[0] + below[3]) +
                            13);
  // Divided by 26: the upper half of a product, exact for these values.
  const auto high = static_cast<uint16_t>((static_cast<uint32_t>(twice) * 20165u) >> 16);
  return static_cast<uint8_t>(high >> 3);
}

// smooth[i] for i in [begin, end).
void smooth_row(const uint8_t* __restrict above, const uint8_t* __restrict here,
                const uint8_t* __restrict below, uint8_t* __restrict smooth, int begin, int end) {
  int i = begin;
  for (; i + kBlock <= end; i += kBlock) {
    for (int j = i; j < i + kBlock; ++j) smooth[j] = smooth_value(above + j, here + j, below + j);
  }
  for (; i < end; ++i) smooth[i] = smooth_value(above + i, here + i, below + i);
}

// to[i] = blend(from[i], to[i], factor).
void blend_rows(const uint8_t* __restrict from, float factor, uint8_t* __restrict to, int n) {
  int i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    for (int j = 0; j < kBlock; ++j) to[i + j] = blend(from[i + j], to[i + j], factor);
  }
  for (; i < n; ++i) to[i] = blend(from[i], to[i], factor);
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
  for_each_row(image, [&](uint8_t* values, int n) {
    for (int i = 0; i < n; ++i) values[i] = table[values[i]];
  });
}

void adjust_contrast(double factor, cv::Mat* image) {
  int64_t sum = 0;
  for_each_row(image, [&](const uint8_t* values, int n) {
    for (int i = 0; i < n; i += 3) sum += gray_value(values[i], values[i + 1], values[i + 2]);
  });
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
      for (int i = 0; i < length; i += 3) {
        const auto at = static_cast<size_t>(i);
        gray[at] = gray[at + 1] = gray[at + 2] = gray_value(chunk[i], chunk[i + 1], chunk[i + 2]);
      }
      blend_rows(gray.data(), static_cast<float>(factor), chunk, length);
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
    smooth_row(above.data(), here.data(), image->ptr<uint8_t>(y + 1), smooth.data(), 3, n - 3);
    blend_rows(smooth.data() + 3, by, row + 3, n - 6);
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
