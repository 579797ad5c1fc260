// Pairwise sums of rows in cache-sized pieces. Read next: sum_rows.h.
#include "distributed/mpi/sum_rows.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace podium {
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
void sum_rows_of(const std::vector<at::Tensor>& tensors, const at::Tensor& output, T scale) {
  std::vector<T*> rows;
  for (const at::Tensor& tensor : tensors) rows.push_back(tensor.data_ptr<T>());
  T* const sums = output.data_ptr<T>();
  const int64_t n = output.numel();
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    const int64_t length = std::min(kPiece, n - begin);
    for (size_t stride = 1; stride < rows.size(); stride *= 2) {
      for (size_t row = 0; row < rows.size(); row += 2 * stride) {
        add_to(rows[row] + begin, rows[row + stride] + begin, length);
      }
    }
    for (int64_t i = begin; i < begin + length; ++i) sums[i] = rows[0][i] * scale;
  }
}

}  // namespace

void sum_rows(const std::vector<at::Tensor>& rows, const at::Tensor& output, double scale) {
  if (output.scalar_type() == at::kFloat) {
    sum_rows_of<float>(rows, output, static_cast<float>(scale));
    return;
  }
  if (output.scalar_type() == at::kDouble) {
    sum_rows_of<double>(rows, output, scale);
    return;
  }
  for (size_t stride = 1; stride < rows.size(); stride *= 2) {
    for (size_t row = 0; row < rows.size(); row += 2 * stride) rows[row].add_(rows[row + stride]);
  }
  output.copy_(rows[0] * scale);
}

}  // namespace podium
