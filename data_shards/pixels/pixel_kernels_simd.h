// The loops over pixels in terms of a few vector operations. Not a header of its own: included by
// pixel_kernels_avx2.cpp and pixel_kernels_avx512.cpp behind their `#pragma GCC target` and their
// operations. Nothing here may call inline functions from elsewhere: the linker keeps one copy of
// those, and a copy with vector instructions would end up on processors without them.
//
//   kLanes: floats of a vector. Floats, Ints: kLanes values. Words: 2 * kLanes of 16 bits.
//   pick(from, at): from[at[lane]] for at < kPickSpan.

namespace podium::data_shards {
namespace {

// 16 pixels as three vectors of bytes.
struct Pixels16 {
  __m128i channel[3];
};

__m128i load16(const uint8_t* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}
void store16(uint8_t* to, __m128i value) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), value);
}

// kSplit[channel][part]: which byte of the part-th 16 goes where; -1: none.
struct Shuffles {
  int8_t split[3][3][16];
  int8_t join[3][3][16];  // [part][channel]
};
constexpr Shuffles make_shuffles() {
  Shuffles result{};
  for (int channel = 0; channel < 3; ++channel) {
    for (int part = 0; part < 3; ++part) {
      for (int i = 0; i < 16; ++i) {
        const int at = 3 * i + channel - 16 * part;
        result.split[channel][part][i] = static_cast<int8_t>(at >= 0 && at < 16 ? at : -1);
        const int value = 16 * part + i;
        result.join[part][channel][i] = static_cast<int8_t>(value % 3 == channel ? value / 3 : -1);
      }
    }
  }
  return result;
}
alignas(16) constexpr Shuffles kShuffles = make_shuffles();

__m128i shuffled(__m128i value, const int8_t* where) {
  return _mm_shuffle_epi8(value, _mm_load_si128(reinterpret_cast<const __m128i*>(where)));
}

Pixels16 split16(const uint8_t* rgb) {
  const __m128i parts[3] = {load16(rgb), load16(rgb + 16), load16(rgb + 32)};
  Pixels16 pixels;
  for (int channel = 0; channel < 3; ++channel) {
    const auto& where = kShuffles.split[channel];
    pixels.channel[channel] =
        _mm_or_si128(_mm_or_si128(shuffled(parts[0], where[0]), shuffled(parts[1], where[1])),
                     shuffled(parts[2], where[2]));
  }
  return pixels;
}

void join16(const Pixels16& pixels, uint8_t* rgb) {
  for (int part = 0; part < 3; ++part) {
    const auto& where = kShuffles.join[part];
    store16(rgb + 16 * part, _mm_or_si128(_mm_or_si128(shuffled(pixels.channel[0], where[0]),
                                                       shuffled(pixels.channel[1], where[1])),
                                          shuffled(pixels.channel[2], where[2])));
  }
}

void split(const uint8_t* rgb, int n, const ChannelScale* scale, float* const* planes) {
  int i = 0;
  for (; i + 16 <= n; i += 16) {
    const Pixels16 pixels = split16(rgb + 3 * i);
    alignas(16) uint8_t bytes[16];
    for (int channel = 0; channel < 3; ++channel) {
      store16(bytes, pixels.channel[channel]);
      for (int j = 0; j < 16; j += kLanes) {
        Floats value = to_floats(ints_of_bytes(bytes + j));
        if (scale) {
          value = add(mul(value, all(scale->scale[channel])), all(scale->offset[channel]));
        }
        store(planes[channel] + i + j, value);
      }
    }
  }
  for (; i < n; ++i) {
    for (int channel = 0; channel < 3; ++channel) {
      const float value = rgb[3 * i + channel];
      planes[channel][i] = scale ? value * scale->scale[channel] + scale->offset[channel] : value;
    }
  }
}

template <int kCount>
void mix_rows_of(const float* const* rows, const float* weights, int count, int64_t n,
                 float* mixed) {
  for (int64_t i = 0; i < n; i += kLanes) {
    Floats sum = mul(load(rows[0] + i), all(weights[0]));
    for (int k = 1; k < (kCount > 0 ? kCount : count); ++k) {
      sum = add(sum, mul(load(rows[k] + i), all(weights[k])));
    }
    store(mixed + i, sum);
  }
}
void mix_rows(const float* const* rows, const float* weights, int count, int64_t n, float* mixed) {
  switch (count) {
    case 2:
      return mix_rows_of<2>(rows, weights, count, n, mixed);
    case 3:
      return mix_rows_of<3>(rows, weights, count, n, mixed);
    default:
      return mix_rows_of<0>(rows, weights, count, n, mixed);
  }
}

template <int kCount>
Floats mix_block(const float* from, Ints at, bool is_near, const float* weights, int64_t size,
                 int count) {
  if (!is_near) {
    Floats sum = mul(gather(from, at), load(weights));
    for (int k = 1; k < count; ++k) {
      sum = add(sum, mul(gather(from + k, at), load(weights + k * size)));
    }
    return sum;
  }
  Floats sum = mul(pick(from, at), load(weights));
  for (int k = 1; k < (kCount > 0 ? kCount : count); ++k) {
    sum = add(sum, mul(pick(from + k, at), load(weights + k * size)));
  }
  return sum;
}

template <int kCount>
void mix_columns_of(const float* mixed, int64_t stride, const ColumnTaps& taps,
                    const ChannelScale* scale, int n, float* const* planes) {
  const int* first = taps.first;
  for (int x = 0; x < n; x += kLanes) {
    const int begin = first[x], end = first[x + kLanes - 1];  // falling in a mirrored row
    const int base = begin < end ? begin : end;
    const bool is_near = begin + end - 2 * base < kPickSpan;
    const Ints at = sub(load_ints(first + x), all_ints(base));
    for (int channel = 0; channel < 3; ++channel) {
      Floats sum = mix_block<kCount>(mixed + channel * stride + base, at, is_near, taps.weights + x,
                                     taps.size, taps.count);
      if (scale) sum = add(mul(sum, all(scale->scale[channel])), all(scale->offset[channel]));
      float* to = planes[channel] + x;
      if (x + kLanes <= n) {
        store(to, sum);
        continue;
      }
      float last[kLanes];
      store(last, sum);
      for (int j = 0; x + j < n; ++j) to[j] = last[j];
    }
  }
}
void mix_columns(const float* mixed, int64_t stride, const ColumnTaps& taps,
                 const ChannelScale* scale, int n, float* const* planes) {
  const auto mix = taps.count == 2   ? mix_columns_of<2>
                   : taps.count == 3 ? mix_columns_of<3>
                                     : mix_columns_of<0>;
  mix(mixed, stride, taps, scale, n, planes);
}

uint8_t rounded(float value) {
  value = value < 0.0f ? 0.0f : value;
  return static_cast<uint8_t>((value > 255.0f ? 255.0f : value) + 0.5f);
}

void join(const float* planes, int64_t stride, int n, uint8_t* rgb) {
  int i = 0;
  for (; i + 16 <= n; i += 16) {
    Pixels16 pixels;
    for (int channel = 0; channel < 3; ++channel) {
      uint8_t bytes[16];
      for (int j = 0; j < 16; j += kLanes) {
        const Floats value = load(planes + channel * stride + i + j);
        store_bytes(bytes + j, truncated(add(lowest(highest(value, all(0)), all(255)), all(0.5f))));
      }
      pixels.channel[channel] = load16(bytes);
    }
    join16(pixels, rgb + 3 * i);
  }
  for (; i < n; ++i) {
    for (int channel = 0; channel < 3; ++channel) {
      rgb[3 * i + channel] = rounded(planes[channel * stride + i]);
    }
  }
}

// 16 gray values.
__m128i gray16(const uint8_t* rgb) {
  const Pixels16 pixels = split16(rgb);
  alignas(16) uint8_t bytes[3][16];
  for (int channel = 0; channel < 3; ++channel) store16(bytes[channel], pixels.channel[channel]);
  uint8_t gray[16];
  for (int j = 0; j < 16; j += kLanes) {
    const Ints red = mul_ints(ints_of_bytes(bytes[0] + j), all_ints(kGrayRed));
    const Ints green = mul_ints(ints_of_bytes(bytes[1] + j), all_ints(kGrayGreen));
    const Ints blue = mul_ints(ints_of_bytes(bytes[2] + j), all_ints(kGrayBlue));
    const Ints sum = add_ints(add_ints(red, green), add_ints(blue, all_ints(0x8000)));
    store_bytes(gray + j, upper_half(sum));
  }
  return load16(gray);
}

uint8_t gray_of(const uint8_t* rgb) {
  return static_cast<uint8_t>(
      (rgb[0] * kGrayRed + rgb[1] * kGrayGreen + rgb[2] * kGrayBlue + 0x8000u) >> 16);
}

int64_t sum_gray(const uint8_t* rgb, int64_t n) {
  int64_t sum = 0, i = 0;
  __m128i sums = _mm_setzero_si128();
  for (; i + 16 <= n; i += 16) {
    sums = _mm_add_epi64(sums, _mm_sad_epu8(gray16(rgb + 3 * i), _mm_setzero_si128()));
  }
  sum = _mm_cvtsi128_si64(sums) + _mm_cvtsi128_si64(_mm_unpackhi_epi64(sums, sums));
  for (; i < n; ++i) sum += gray_of(rgb + 3 * i);
  return sum;
}

void spread_gray(const uint8_t* rgb, int64_t n, uint8_t* gray) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m128i value = gray16(rgb + 3 * i);
    join16({{value, value, value}}, gray + 3 * i);
  }
  for (; i < n; ++i) gray[3 * i] = gray[3 * i + 1] = gray[3 * i + 2] = gray_of(rgb + 3 * i);
}

void blend(const uint8_t* from, float factor, int64_t n, uint8_t* to) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Ints start = ints_of_bytes(from + i);
    const Floats way = to_floats(sub(ints_of_bytes(to + i), start));
    const Floats value = add(to_floats(start), mul(all(factor), way));
    store_bytes(to + i, truncated(lowest(highest(value, all(0)), all(255))));
  }
  for (; i < n; ++i) {
    float value = static_cast<float>(from[i]) + factor * static_cast<float>(to[i] - from[i]);
    value = value < 0.0f ? 0.0f : value;
    to[i] = static_cast<uint8_t>(value > 255.0f ? 255.0f : value);
  }
}

// The sum of three values of a row, 3 apart.
Words three(const uint8_t* row) {
  return add_words(add_words(words_of_bytes(row - 3), words_of_bytes(row)),
                   words_of_bytes(row + 3));
}

void smooth(const uint8_t* above, const uint8_t* here, const uint8_t* below, int64_t n,
            uint8_t* result) {
  constexpr int kWords = 2 * kLanes;
  int64_t i = 0;
  for (; i + kWords <= n; i += kWords) {
    const Words four = shifted_left<2>(words_of_bytes(here + i));
    const Words sum =
        add_words(add_words(three(above + i), three(here + i)), add_words(three(below + i), four));
    // (2 * sum + 13) / 26: the upper half of a product by 2^19 / 26, rounded up, exact up to
    // 2 * 13 * 255 + 13.
    const Words twice = add_words(shifted_left<1>(sum), all_words(13));
    store_words_as_bytes(result + i, shifted_right<3>(upper_product(twice, all_words(20165))));
  }
  for (; i < n; ++i) {
    const int sum = above[i - 3] + above[i] + above[i + 3] + here[i - 3] + 5 * here[i] +
                    here[i + 3] + below[i - 3] + below[i] + below[i + 3];
    result[i] = static_cast<uint8_t>((2 * sum + 13) / 26);
  }
}

// `map` by bytes, for the rest behind the last whole vector.
void map_rest(const uint8_t* tables, const uint8_t* from, int64_t begin, int64_t n, uint8_t* to) {
  int64_t i = begin;
  for (int channel = static_cast<int>(begin % 3); i < n; ++i) {
    to[i] = tables[256 * channel + from[i]];
    channel = channel == 2 ? 0 : channel + 1;
  }
}

}  // namespace
}  // namespace podium::data_shards
