// Every set of instructions against plain C++, to the last bit. What plain C++ computes is compared
// with Pillow in resample_test.cpp and augment_test.cpp, through the best set of this processor.
#include "data_shards/pixels/pixel_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/rng.h"

namespace podium::data_shards {
namespace {

using Bytes = std::vector<uint8_t>;
using Floats = std::vector<float>;

class PixelKernelsOf : public testing::TestWithParam<Instructions> {
 protected:
  void SetUp() override {
    kernels_ = pixel_kernels(GetParam());
    if (!kernels_) GTEST_SKIP() << "this processor or compiler does not have them";
  }
  Bytes random_bytes(int64_t n) {
    Bytes bytes(static_cast<size_t>(n));
    for (uint8_t& value : bytes) value = static_cast<uint8_t>(rng_.below(256));
    return bytes;
  }
  Floats random_floats(int64_t n, double low, double high) {
    Floats values(static_cast<size_t>(n));
    for (float& value : values) value = static_cast<float>(rng_.uniform(low, high));
    return values;
  }
  const PixelKernels& plain() const { return *pixel_kernels(Instructions::kPortable); }

  const PixelKernels* kernels_ = nullptr;
  Rng rng_{1, RandomPurpose::kTest};
};

const ChannelScale kScale = {{0.017f, 0.0175f, 0.0174f}, {-2.1f, -2.0f, -1.8f}};
// Around the lengths of vectors.
const std::vector<int> kLengths = {1, 2, 7, 8, 15, 16, 17, 31, 48, 64, 65, 100, 224, 257};

// Planes with a guard behind them.
struct Planes {
  explicit Planes(int n) : values(static_cast<size_t>(3 * (n + 1)), -77.0f) {
    for (int channel = 0; channel < 3; ++channel)
      planes[channel] = values.data() + channel * (n + 1);
  }
  Floats values;
  float* planes[3];
};

TEST_P(PixelKernelsOf, Split) {
  for (const int n : kLengths) {
    const Bytes rgb = random_bytes(3 * n);
    for (const ChannelScale* scale : {&kScale, static_cast<const ChannelScale*>(nullptr)}) {
      Planes expected(n), found(n);
      plain().split(rgb.data(), n, scale, expected.planes);
      kernels_->split(rgb.data(), n, scale, found.planes);
      ASSERT_EQ(found.values, expected.values) << n;
    }
  }
}

TEST_P(PixelKernelsOf, MixRows) {
  for (const int count : {1, 2, 3, 4, 9}) {
    const int64_t n = 5 * kPixelBlock;
    std::vector<Floats> rows;
    std::vector<const float*> pointers;
    for (int k = 0; k < count; ++k) rows.push_back(random_floats(n, 0, 255));
    for (const Floats& row : rows) pointers.push_back(row.data());
    const Floats weights = random_floats(count, -0.2, 1);
    Floats expected(static_cast<size_t>(n)), found(static_cast<size_t>(n));
    plain().mix_rows(pointers.data(), weights.data(), count, n, expected.data());
    kernels_->mix_rows(pointers.data(), weights.data(), count, n, found.data());
    ASSERT_EQ(found, expected) << count;
  }
}

// Steps of 0.1 to 9 source px per output: positions side by side, two vectors apart, and further.
TEST_P(PixelKernelsOf, MixColumns) {
  for (const double step : {0.1, 0.9, 1.0, 1.4, 2.0, 2.2, 9.0}) {
    for (const int n : kLengths) {
      for (const int count : {1, 2, 3, 7}) {
        const bool is_mirrored = n % 2 == 0;
        const int64_t size = (n + kPixelBlock - 1) / kPixelBlock * kPixelBlock;
        const int columns = static_cast<int>(step * n) + count + 1;
        const int64_t stride = columns + kPlanePadding;
        const Floats mixed = random_floats(3 * stride, 0, 255);
        std::vector<int> first;
        for (int x = 0; x < size; ++x) {
          const int at = std::min(x, n - 1);
          first.push_back(static_cast<int>(step * (is_mirrored ? n - 1 - at : at)));
        }
        const Floats weights = random_floats(count * size, -0.2, 1);
        const ColumnTaps taps = {count, size, first.data(), weights.data()};
        for (const ChannelScale* scale : {&kScale, static_cast<const ChannelScale*>(nullptr)}) {
          Planes expected(n), found(n);
          plain().mix_columns(mixed.data(), stride, taps, scale, n, expected.planes);
          kernels_->mix_columns(mixed.data(), stride, taps, scale, n, found.planes);
          ASSERT_EQ(found.values, expected.values) << step << " " << n << " " << count;
        }
      }
    }
  }
}

TEST_P(PixelKernelsOf, Join) {
  for (const int n : kLengths) {
    Floats planes = random_floats(3 * n, -40, 300);
    planes[0] = 254.5f;
    Bytes expected(static_cast<size_t>(3 * n + 1), 9), found(expected);
    plain().join(planes.data(), n, n, expected.data());
    kernels_->join(planes.data(), n, n, found.data());
    ASSERT_EQ(found, expected) << n;
    ASSERT_EQ(found[0], 255);
  }
}

TEST_P(PixelKernelsOf, Map) {
  const Bytes tables = random_bytes(3 * 256);
  for (const int n : kLengths) {
    const Bytes from = random_bytes(n);
    Bytes expected(from), found(from);
    plain().map(tables.data(), from.data(), n, expected.data());
    kernels_->map(tables.data(), found.data(), n, found.data());  // in place
    ASSERT_EQ(found, expected) << n;
  }
}

TEST_P(PixelKernelsOf, Gray) {
  for (const int n : kLengths) {
    const Bytes rgb = random_bytes(3 * n);
    ASSERT_EQ(kernels_->sum_gray(rgb.data(), n), plain().sum_gray(rgb.data(), n)) << n;
    Bytes expected(rgb.size()), found(rgb);
    plain().spread_gray(rgb.data(), n, expected.data());
    kernels_->spread_gray(found.data(), n, found.data());  // in place
    ASSERT_EQ(found, expected) << n;
  }
}

// All pairs of bytes.
TEST_P(PixelKernelsOf, Blend) {
  Bytes from, to;
  for (int i = 0; i < 65536; ++i) {
    from.push_back(static_cast<uint8_t>(i >> 8));
    to.push_back(static_cast<uint8_t>(i));
  }
  for (const float factor : {0.0f, 0.1f, 0.73f, 1.0f, 1.9f}) {
    Bytes expected(to), found(to);
    plain().blend(from.data(), factor, 65536, expected.data());
    kernels_->blend(from.data(), factor, 65536, found.data());
    ASSERT_EQ(found, expected) << factor;
  }
}

TEST_P(PixelKernelsOf, Smooth) {
  for (const int n : kLengths) {
    std::array<Bytes, 3> rows;
    for (Bytes& row : rows) row = random_bytes(n + 6);
    Bytes expected(static_cast<size_t>(n + 1), 9), found(expected);
    plain().smooth(rows[0].data() + 3, rows[1].data() + 3, rows[2].data() + 3, n, expected.data());
    kernels_->smooth(rows[0].data() + 3, rows[1].data() + 3, rows[2].data() + 3, n, found.data());
    ASSERT_EQ(found, expected) << n;
  }
  // By hand: a white row between gray ones.
  const Bytes white(38, 255);
  for (int value = 0; value < 256; ++value) {
    const Bytes gray(38, static_cast<uint8_t>(value));
    Bytes expected(32), found(32);
    plain().smooth(gray.data() + 3, white.data() + 3, gray.data() + 3, 32, expected.data());
    kernels_->smooth(gray.data() + 3, white.data() + 3, gray.data() + 3, 32, found.data());
    ASSERT_EQ(found, expected) << value;
    ASSERT_EQ(found[0], (2 * (7 * 255 + 6 * value) + 13) / 26) << value;
  }
}

std::string name_of(const testing::TestParamInfo<Instructions>& parameter) {
  switch (parameter.param) {
    case Instructions::kPortable:
      return "Portable";
    case Instructions::kAvx2:
      return "Avx2";
    case Instructions::kAvx512:
      return "Avx512";
  }
  return "";
}
INSTANTIATE_TEST_SUITE_P(All, PixelKernelsOf,
                         testing::Values(Instructions::kPortable, Instructions::kAvx2,
                                         Instructions::kAvx512),
                         name_of);

}  // namespace
}  // namespace podium::data_shards
