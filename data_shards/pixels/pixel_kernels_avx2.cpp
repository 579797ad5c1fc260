// The vector operations of AVX2: 8 floats. Read next: pixel_kernels_simd.h.
#include "data_shards/pixels/pixel_kernels.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

#pragma GCC target("avx2")

namespace podium::data_shards {
namespace {

constexpr int kLanes = 8;
constexpr int kPickSpan = 16;
using Floats = __m256;
using Ints = __m256i;
using Words = __m256i;

Floats load(const float* from) { return _mm256_loadu_ps(from); }
void store(float* to, Floats value) { _mm256_storeu_ps(to, value); }
Floats all(float value) { return _mm256_set1_ps(value); }
Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
Floats highest(Floats a, Floats b) { return _mm256_max_ps(a, b); }
Floats lowest(Floats a, Floats b) { return _mm256_min_ps(a, b); }
Floats to_floats(Ints value) { return _mm256_cvtepi32_ps(value); }
Ints truncated(Floats value) { return _mm256_cvttps_epi32(value); }

Ints load_ints(const int* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
Ints all_ints(int value) { return _mm256_set1_epi32(value); }
Ints add_ints(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
Ints sub(Ints a, Ints b) { return _mm256_sub_epi32(a, b); }
Ints mul_ints(Ints a, Ints b) { return _mm256_mullo_epi32(a, b); }
Ints upper_half(Ints value) { return _mm256_srli_epi32(value, 16); }
Ints ints_of_bytes(const uint8_t* from) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
}
void store_bytes(uint8_t* to, Ints value) {
  const __m128i words =
      _mm_packus_epi32(_mm256_castsi256_si128(value), _mm256_extracti128_si256(value, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(words, words));
}

Floats pick(const float* from, Ints at) {
  const Floats low = _mm256_permutevar8x32_ps(load(from), at);
  const Floats high = _mm256_permutevar8x32_ps(load(from + 8), at);
  const Ints is_high = _mm256_cmpgt_epi32(at, all_ints(7));
  return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(is_high));
}
Floats gather(const float* from, Ints at) { return _mm256_i32gather_ps(from, at, 4); }

Words words_of_bytes(const uint8_t* from) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
Words all_words(int value) { return _mm256_set1_epi16(static_cast<int16_t>(value)); }
Words add_words(Words a, Words b) { return _mm256_add_epi16(a, b); }
Words upper_product(Words a, Words b) { return _mm256_mulhi_epu16(a, b); }
template <int kBits>
Words shifted_left(Words value) {
  return _mm256_slli_epi16(value, kBits);
}
template <int kBits>
Words shifted_right(Words value) {
  return _mm256_srli_epi16(value, kBits);
}
void store_words_as_bytes(uint8_t* to, Words value) {
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(to),
      _mm_packus_epi16(_mm256_castsi256_si128(value), _mm256_extracti128_si256(value, 1)));
}

}  // namespace
}  // namespace podium::data_shards

#include "data_shards/pixels/pixel_kernels_simd.h"

namespace podium::data_shards {
namespace {

// AVX2 has no lookup of bytes; one by one is the fastest.
void map(const uint8_t* tables, const uint8_t* from, int64_t n, uint8_t* to) {
  int64_t i = 0;
  for (; i + 3 <= n; i += 3) {
    to[i] = tables[from[i]];
    to[i + 1] = tables[256 + from[i + 1]];
    to[i + 2] = tables[512 + from[i + 2]];
  }
  map_rest(tables, from, i, n, to);
}

constexpr PixelKernels kAvx2 = {split,    mix_rows,    mix_columns, join,  map,
                                sum_gray, spread_gray, blend,       smooth};

}  // namespace

const PixelKernels* avx2_kernels() { return &kAvx2; }

}  // namespace podium::data_shards

#else

namespace podium::data_shards {
const PixelKernels* avx2_kernels() { return nullptr; }
}  // namespace podium::data_shards

#endif
