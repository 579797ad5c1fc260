// The ordered sum between the all-to-all and the all-gather. Read next: mpi_backend.cpp.
#pragma once

#include <ATen/core/Tensor.h>

namespace podium::trainer {

// Shapes: rows (W * n) contiguous: row r came from rank r. Row 0 becomes scale * (((0 + 1) + (2 +
// 3)) + ...), the other rows are used up. Requires: W a power of two; float32 or float64 (other
// floating types go through ATen). Threads: stays on the calling thread, so that the cores remain
// with the backward pass it overlaps with.
void sum_rows(const at::Tensor& rows, int64_t num_rows, double scale);

}  // namespace podium::trainer
