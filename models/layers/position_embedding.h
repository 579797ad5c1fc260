// Tables of positions: absolute ones resampled to another grid, relative ones indexed and resized
// as their public definitions do. Read next: vit.h, beit.h, swin.h.
#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string>

#include "models/layers/state_dict.h"

namespace podium::models {

using Grid = std::array<int64_t, 2>;  // height, width; of patches or of a window

// Published definitions resample the same table differently; with one checkpoint the outputs differ
// by per cents.
enum class PositionResampling {
  kAntialiased,  // timm; DINOv2's own code with registers
  kScaleFactor,  // DINOv2's own code without registers: factor (new + 0.1) / old, no antialiasing
  kPlain,        // transformers: to the size, no antialiasing
};

// A table of positions of a square grid, bicubically resampled to `grid`; the first `num_prefix`
// rows (class token) stay. Differentiable. Computes in float32, as the definitions do; kScaleFactor
// keeps float64.
// Shapes: table (1, num_prefix + n * n, C) -> (1, num_prefix + grid[0] * grid[1], C).
// Errors: DataError when the rows are no square.
torch::Tensor resample_position_table(const torch::Tensor& table, int64_t num_prefix, Grid grid,
                                      PositionResampling resampling);

// For each pair (i, j) of a window's positions, the row of a table of (2 h - 1) * (2 w - 1) rows
// that holds their offset. With a class token, at index 0, three more rows follow: from it to
// patches, from patches to it, to itself.
// Shapes: -> (N * N) int64, N = h * w (+ 1).
torch::Tensor relative_position_index(Grid window, bool has_class_token);

// Looks a table up by such an index. Shapes: table (rows, heads), index (N * N) -> (heads, N, N).
torch::Tensor relative_bias(const torch::Tensor& table, const torch::Tensor& index);

// Resizes a table of relative positions to another window as timm does: linearly between source
// positions in geometric progression, so that near offsets keep their resolution. Extra rows at the
// end (class token) stay.
// Shapes: table (n * n + extra, heads) -> ((2 h - 1) * (2 w - 1) + extra, heads) float32.
// Errors: DataError when the table is no square.
// Source: unilm/beit, run_class_finetuning.py; timm's resize_rel_pos_bias_table.
torch::Tensor resize_relative_table(const torch::Tensor& table, Grid window, int64_t num_extra);

// Drops the buffers that older files carry: "relative_position_index", "relative_coords_table",
// "attn_mask".
void drop_position_buffers(StateDict& weights);

}  // namespace podium::models
