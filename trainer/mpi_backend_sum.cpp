// Pairwise sums of rows in cache-sized pieces. Read next: mpi_backend_sum.h.
#include "trainer/mpi_backend_sum.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace podium::trainer {
namespace {

constexpr int64_t kBlock = 64;    // a fixed trip count lets the compiler use vectors
constexpr int64_t kPiece = 2048;  // elements of a row at a time; a multiple of kBlock

template <typename T>
void add_to(T* __restrict left, const T* __restrict right, int64_t n) {
  int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    for (int64_t k = 0; k < kBlock; ++k) left[i + k] += right[i + k];
  }
  for (; i < n; ++i) left[i] += right[i];
}

template <typename T>
void sum_rows_of(T* rows, int64_t num_rows, int64_t n, T scale) {
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    const int64_t length = std::min(kPiece, n - begin);
    for (int64_t stride = 1; stride < num_rows; stride *= 2) {
      for (int64_t row = 0; row < num_rows; row += 2 * stride) {
        add_to(rows + row * n + begin, rows + (row + stride) * n + begin, length);
      }
    }
    for (int64_t i = begin; i < begin + length; ++i) rows[i] *= scale;
  }
}

}  // namespace

void sum_rows(const at::Tensor& rows, int64_t num_rows, double scale) {
  const int64_t n = rows.numel() / num_rows;
  if (rows.scalar_type() == at::kFloat) {
    sum_rows_of(rows.data_ptr<float>(), num_rows, n, static_cast<float>(scale));
    return;
  }
  if (rows.scalar_type() == at::kDouble) {
    sum_rows_of(rows.data_ptr<double>(), num_rows, n, scale);
    return;
  }
  const at::Tensor table = rows.view({num_rows, n});
  for (int64_t stride = 1; stride < num_rows; stride *= 2) {
    for (int64_t row = 0; row < num_rows; row += 2 * stride) table[row].add_(table[row + stride]);
  }
  table[0].mul_(scale);
}

}  // namespace podium::trainer
