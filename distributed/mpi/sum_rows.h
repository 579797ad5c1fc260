// The ordered sum between the exchange and the gathering of blocks. Read next: mpi_tree.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace podium {

// output (n) = scale * (((rows[0] + rows[1]) + (rows[2] + rows[3])) + ...), rows (n) each, all
// contiguous; the rows are used up, and one of them may be `output`. Requires: a power of two of
// rows; float32 or float64 (other floating types go through ATen). Threads: stays on the calling
// thread, so that the cores remain with the backward pass it overlaps with.
void sum_rows(const std::vector<at::Tensor>& rows, const at::Tensor& output, double scale);

}  // namespace podium
