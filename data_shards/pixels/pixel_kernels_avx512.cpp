// The vector operations of AVX-512 (F, BW, VL, VBMI: Ice Lake, Zen 4 and later): 16 floats, tables
// of bytes. Read next: pixel_kernels_simd.h.
#include "data_shards/pixels/pixel_kernels.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

// gcc 12 takes the undefined vectors of its own header for a mistake (its bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi")

namespace podium::data_shards {
namespace {

constexpr int kLanes = 16;
constexpr int kPickSpan = 32;
using Floats = __m512;
using Ints = __m512i;
using Words = __m512i;

Floats load(const float* from) { return _mm512_loadu_ps(from); }
void store(float* to, Floats value) { _mm512_storeu_ps(to, value); }
Floats all(float value) { return _mm512_set1_ps(value); }
Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
Floats highest(Floats a, Floats b) { return _mm512_max_ps(a, b); }
Floats lowest(Floats a, Floats b) { return _mm512_min_ps(a, b); }
Floats to_floats(Ints value) { return _mm512_cvtepi32_ps(value); }
Ints truncated(Floats value) { return _mm512_cvttps_epi32(value); }

Ints load_ints(const int* from) { return _mm512_loadu_si512(from); }
Ints all_ints(int value) { return _mm512_set1_epi32(value); }
Ints add_ints(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
Ints sub(Ints a, Ints b) { return _mm512_sub_epi32(a, b); }
Ints mul_ints(Ints a, Ints b) { return _mm512_mullo_epi32(a, b); }
Ints upper_half(Ints value) { return _mm512_srli_epi32(value, 16); }
Ints ints_of_bytes(const uint8_t* from) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
void store_bytes(uint8_t* to, Ints value) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(value));
}

Floats pick(const float* from, Ints at) {
  return _mm512_permutex2var_ps(load(from), at, load(from + 16));
}
Floats gather(const float* from, Ints at) { return _mm512_i32gather_ps(at, from, 4); }

Words words_of_bytes(const uint8_t* from) {
  return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
Words all_words(int value) { return _mm512_set1_epi16(static_cast<int16_t>(value)); }
Words add_words(Words a, Words b) { return _mm512_add_epi16(a, b); }
Words upper_product(Words a, Words b) { return _mm512_mulhi_epu16(a, b); }
template <int kBits>
Words shifted_left(Words value) {
  return _mm512_slli_epi16(value, kBits);
}
template <int kBits>
Words shifted_right(Words value) {
  return _mm512_srli_epi16(value, kBits);
}
void store_words_as_bytes(uint8_t* to, Words value) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi16_epi8(value));
}

}  // namespace
}  // namespace podium::data_shards

#include "data_shards/pixels/pixel_kernels_simd.h"

namespace podium::data_shards {
namespace {

// 64 lookups in a table of 256: two of 128 entries each, and the highest bit chooses.
__m512i lookup(const uint8_t* table, __m512i at) {
  const __m512i low =
      _mm512_permutex2var_epi8(_mm512_loadu_si512(table), at, _mm512_loadu_si512(table + 64));
  const __m512i high = _mm512_permutex2var_epi8(_mm512_loadu_si512(table + 128), at,
                                                _mm512_loadu_si512(table + 192));
  return _mm512_mask_blend_epi8(_mm512_movepi8_mask(at), low, high);
}

// Bit i: value i belongs to the channel, when value 0 belongs to channel `first`.
constexpr uint64_t channel_mask(int channel, int first) {
  uint64_t mask = 0;
  for (int i = 0; i < 64; ++i) {
    if ((i + first) % 3 == channel) mask |= uint64_t{1} << i;
  }
  return mask;
}
constexpr uint64_t kGreenMasks[3] = {channel_mask(1, 0), channel_mask(1, 1), channel_mask(1, 2)};
constexpr uint64_t kBlueMasks[3] = {channel_mask(2, 0), channel_mask(2, 1), channel_mask(2, 2)};

void map(const uint8_t* tables, const uint8_t* from, int64_t n, uint8_t* to) {
  int64_t i = 0;
  for (int first = 0; i + 64 <= n; i += 64, first = first == 2 ? 0 : first + 1) {
    const __m512i at = _mm512_loadu_si512(from + i);
    __m512i value = lookup(tables, at);
    value = _mm512_mask_blend_epi8(kGreenMasks[first], value, lookup(tables + 256, at));
    value = _mm512_mask_blend_epi8(kBlueMasks[first], value, lookup(tables + 512, at));
    _mm512_storeu_si512(to + i, value);
  }
  map_rest(tables, from, i, n, to);
}

constexpr PixelKernels kAvx512 = {split,    mix_rows,    mix_columns, join,  map,
                                  sum_gray, spread_gray, blend,       smooth};

}  // namespace

const PixelKernels* avx512_kernels() { return &kAvx512; }

}  // namespace podium::data_shards

#else

namespace podium::data_shards {
const PixelKernels* avx512_kernels() { return nullptr; }
}  // namespace podium::data_shards

#endif
