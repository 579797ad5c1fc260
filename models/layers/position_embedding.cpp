// Resampling and indexing of position tables.
#include "models/layers/position_embedding.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace podium::models {
namespace {

int64_t square_side(int64_t num_rows, const char* what) {
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(num_rows))));
  if (num_rows > 0 && side * side == num_rows) return side;
  throw DataError(fmt::format(
      "{}: a table of {} positions is no square; only square tables can be resized, make the model "
      "with the checkpoint's image size",
      what, num_rows));
}

// Distances 0, 1, 1 + q, 1 + q + q^2 .. on both sides of 0, with q such that they end near those of
// the target.
std::vector<double> source_positions(int64_t num_source, int64_t num_target) {
  const int64_t half = num_source / 2;
  double left = 1.01, right = 1.5, ratio = left;
  while (right - left > 1e-6) {
    ratio = (left + right) / 2;
    const double sum = (1 - std::pow(ratio, static_cast<double>(half))) / (1 - ratio);
    (sum > static_cast<double>(num_target / 2) ? right : left) = ratio;
  }
  std::vector<double> positions(static_cast<size_t>(num_source), 0.0);
  double distance = 1;
  for (int64_t i = 0; i < half; ++i) {
    positions[static_cast<size_t>(half + 1 + i)] = distance;
    positions[static_cast<size_t>(half - 1 - i)] = -distance;
    distance += std::pow(ratio, static_cast<double>(i + 1));
  }
  return positions;
}

// Row t holds the weights by which target position t takes from the source. Shapes: -> (num_target,
// num_source) float64.
torch::Tensor linear_weights(int64_t num_source, int64_t num_target) {
  const std::vector<double> source = source_positions(num_source, num_target);
  torch::Tensor weights = torch::zeros({num_target, num_source}, torch::dtype(torch::kFloat64));
  auto rows = weights.accessor<double, 2>();
  for (int64_t t = 0; t < num_target; ++t) {
    const auto x = static_cast<double>(t - num_target / 2);
    const auto right = std::lower_bound(source.begin(), source.end(), x) - source.begin();
    if (right == 0) {
      rows[t][0] = 1;  // beyond the ends: the outermost value
    } else if (right == num_source) {
      rows[t][num_source - 1] = 1;
    } else {
      const double low = source[static_cast<size_t>(right - 1)];
      const double share = (x - low) / (source[static_cast<size_t>(right)] - low);
      rows[t][right - 1] = 1 - share;
      rows[t][right] = share;
    }
  }
  return weights;
}

}  // namespace

torch::Tensor resample_position_table(const torch::Tensor& table, int64_t num_prefix, Grid grid,
                                      PositionResampling resampling) {
  const int64_t side = square_side(table.size(1) - num_prefix, "position embedding");
  if (grid[0] == side && grid[1] == side) return table;
  const bool keeps_double =
      resampling == PositionResampling::kScaleFactor && table.scalar_type() == torch::kFloat64;
  const torch::Tensor map = table.slice(1, num_prefix)
                                .to(keeps_double ? torch::kFloat64 : torch::kFloat32)
                                .reshape({1, side, side, table.size(2)})
                                .permute({0, 3, 1, 2});
  torch::Tensor resampled;
  if (resampling == PositionResampling::kAntialiased) {
    resampled = at::_upsample_bicubic2d_aa(map, grid, /*align_corners=*/false);
  } else if (resampling == PositionResampling::kPlain) {
    resampled = at::upsample_bicubic2d(map, grid, /*align_corners=*/false);
  } else {
    const auto factor = [side](int64_t size) {
      return (static_cast<double>(size) + 0.1) / static_cast<double>(side);
    };
    resampled = at::upsample_bicubic2d(map, grid, /*align_corners=*/false, factor(grid[0]),
                                       factor(grid[1]));
  }
  const torch::Tensor rows = resampled.permute({0, 2, 3, 1}).flatten(1, 2).to(table.scalar_type());
  return num_prefix == 0 ? rows : at::cat({table.slice(1, 0, num_prefix), rows}, 1);
}

torch::Tensor relative_position_index(Grid window, bool has_class_token) {
  const int64_t height = window[0], width = window[1], first = has_class_token ? 1 : 0;
  const int64_t num_positions = height * width + first;
  const int64_t num_offsets = (2 * height - 1) * (2 * width - 1);
  torch::Tensor index = torch::empty({num_positions, num_positions}, torch::dtype(torch::kInt64));
  auto rows = index.accessor<int64_t, 2>();
  for (int64_t i = first; i < num_positions; ++i) {
    const int64_t row = (i - first) / width, column = (i - first) % width;
    for (int64_t j = first; j < num_positions; ++j) {
      const int64_t dy = row - (j - first) / width + height - 1;
      const int64_t dx = column - (j - first) % width + width - 1;
      rows[i][j] = dy * (2 * width - 1) + dx;
    }
  }
  if (has_class_token) {
    index.select(0, 0).fill_(num_offsets);
    index.select(1, 0).fill_(num_offsets + 1);
    rows[0][0] = num_offsets + 2;
  }
  return index.flatten();
}

torch::Tensor relative_bias(const torch::Tensor& table, const torch::Tensor& index) {
  const auto side =
      static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(index.size(0)))));
  // An embedding's gradient sums in a fixed order on every device.
  return at::embedding(table, index).t().reshape({-1, side, side});
}

torch::Tensor resize_relative_table(const torch::Tensor& table, Grid window, int64_t num_extra) {
  const int64_t side = square_side(table.size(0) - num_extra, "relative position table");
  const int64_t height = 2 * window[0] - 1, width = 2 * window[1] - 1;
  if (side == height && side == width) return table;
  const torch::Tensor source = table.slice(0, 0, side * side).to(torch::kFloat64);
  const torch::Tensor maps = source.t().reshape({-1, side, side});  // (heads, side, side)
  const torch::Tensor resized =
      linear_weights(side, height).matmul(maps).matmul(linear_weights(side, width).t());
  return at::cat({resized.flatten(1).t().to(torch::kFloat32),
                  table.slice(0, side * side).to(torch::kFloat32)});
}

void drop_position_buffers(StateDict& weights) {
  std::erase_if(weights, [](const auto& item) {
    return item.first.ends_with("relative_position_index") ||
           item.first.ends_with("relative_coords_table") || item.first.ends_with("attn_mask");
  });
}

}  // namespace podium::models
