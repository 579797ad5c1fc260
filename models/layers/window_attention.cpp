// Windows and the attention within them.
#include "models/layers/window_attention.h"

#include <algorithm>
#include <cmath>

namespace podium::models {
namespace {

constexpr double kMaskValue = -100.0;
constexpr double kBiasScale = 16.0;
constexpr double kMaxLogitScale = 4.605170185988092;  // ln 100
constexpr int64_t kOffsetMlpWidth = 512;
constexpr double kNormEps = 1e-12;  // torch.nn.functional.normalize's

int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// Along one axis of a rolled map: 0 before the last window, then 1, and 2 for what the roll brought
// from the other side.
torch::Tensor regions(int64_t length, int64_t window, int64_t shift) {
  torch::Tensor ids = torch::zeros({length}, torch::dtype(torch::kInt64));
  if (shift == 0) return ids;
  ids.slice(0, length - window).fill_(1);
  ids.slice(0, length - shift).fill_(2);
  return ids;
}

torch::Tensor shift_mask(const WindowGrid& grid, Grid padded) {
  const torch::Tensor rows = regions(padded[0], grid.window[0], grid.shift[0]);
  const torch::Tensor columns = regions(padded[1], grid.window[1], grid.shift[1]);
  const torch::Tensor ids = (rows.unsqueeze(1) * 3 + columns.unsqueeze(0)).unsqueeze(0);
  const torch::Tensor windows =
      cut_windows(ids.unsqueeze(3), {grid.window, {0, 0}}, padded).squeeze(2);  // (windows, N)
  const torch::Tensor differs = windows.unsqueeze(1) != windows.unsqueeze(2);
  return (differs.to(torch::kFloat64) * kMaskValue).unsqueeze(1);
}

// sign(t) log2(1 + |t|) / 3 of offsets scaled so that the pretrained window's ends lie at +-8.
torch::Tensor log_offsets(Grid window, int64_t pretrained_window) {
  const auto axis = [pretrained_window](int64_t size) {
    // A window of one position has the offset 0 alone.
    const int64_t extent =
        std::max<int64_t>((pretrained_window > 0 ? pretrained_window : size) - 1, 1);
    const torch::Tensor offsets = torch::arange(1 - size, size, torch::dtype(torch::kFloat32));
    const torch::Tensor scaled = offsets / static_cast<double>(extent) * 8;
    return scaled.sign() * (scaled.abs() + 1.0).log2() / 3.0;
  };
  const std::vector<torch::Tensor> both = at::meshgrid({axis(window[0]), axis(window[1])}, "ij");
  return at::stack(both, 2).flatten(0, 1);
}

}  // namespace

WindowGrid fit_windows(Grid map, int64_t window_size, bool is_shifted) {
  WindowGrid grid;
  for (size_t axis = 0; axis < map.size(); ++axis) {
    grid.window[axis] = std::min(map[axis], window_size);
    grid.shift[axis] = is_shifted && map[axis] > window_size ? window_size / 2 : 0;
  }
  return grid;
}

const WindowTables& WindowTableCache::find(Grid map, const WindowGrid& grid,
                                           int64_t pretrained_window, const torch::Tensor& like) {
  const Key key{map,
                grid.window,
                grid.shift,
                pretrained_window,
                like.device().type(),
                like.device().index(),
                like.scalar_type()};
  const auto [entry, is_new] = tables_.try_emplace(key);
  WindowTables& tables = entry->second;
  if (!is_new) return tables;
  for (size_t axis = 0; axis < map.size(); ++axis) {
    tables.padded[axis] = round_up(map[axis], grid.window[axis]);
  }
  tables.index = relative_position_index(grid.window, false).to(like.device());
  tables.offsets = log_offsets(grid.window, pretrained_window).to(like.options());
  if (grid.shift[0] > 0 || grid.shift[1] > 0) {
    tables.mask = shift_mask(grid, tables.padded).to(like.options());
  }
  return tables;
}

torch::Tensor cut_windows(const torch::Tensor& map, const WindowGrid& grid, Grid padded) {
  torch::Tensor x = map;
  if (grid.shift[0] > 0 || grid.shift[1] > 0) {
    x = at::roll(x, {-grid.shift[0], -grid.shift[1]}, {1, 2});
  }
  const int64_t more_rows = padded[0] - x.size(1), more_columns = padded[1] - x.size(2);
  if (more_rows > 0 || more_columns > 0) {
    x = at::constant_pad_nd(x, {0, 0, 0, more_columns, 0, more_rows});
  }
  const auto [height, width] = grid.window;
  return x.reshape({x.size(0), padded[0] / height, height, padded[1] / width, width, x.size(3)})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({-1, height * width, x.size(3)});
}

torch::Tensor join_windows(const torch::Tensor& windows, const WindowGrid& grid, Grid padded,
                           Grid map) {
  const auto [height, width] = grid.window;
  torch::Tensor x =
      windows.reshape({-1, padded[0] / height, padded[1] / width, height, width, windows.size(2)})
          .permute({0, 1, 3, 2, 4, 5})
          .reshape({-1, padded[0], padded[1], windows.size(2)});
  x = x.slice(1, 0, map[0]).slice(2, 0, map[1]);
  if (grid.shift[0] == 0 && grid.shift[1] == 0) return x;
  return at::roll(x, {grid.shift[0], grid.shift[1]}, {1, 2});
}

WindowAttentionImpl::WindowAttentionImpl(WindowAttentionOptions options)
    : AttentionProjectionsImpl(AttentionOptions{.num_channels = options.num_channels,
                                                .num_heads = options.num_heads,
                                                .has_split_bias = options.is_cosine}),
      is_cosine_(options.is_cosine) {
  if (!is_cosine_) {
    const int64_t num_offsets = (2 * options.window[0] - 1) * (2 * options.window[1] - 1);
    relative_position_bias_table_ = register_parameter(
        "relative_position_bias_table", torch::empty({num_offsets, options.num_heads}));
    return;
  }
  logit_scale_ = register_parameter("logit_scale", torch::empty({options.num_heads, 1, 1}));
  // The reference's Sequential, with a ReLU in between.
  auto mlp = register_module("cpb_mlp", std::make_shared<torch::nn::Module>());
  offset_mlp1_ = mlp->register_module("0", Linear(2, kOffsetMlpWidth, WeightInit::kNormal02));
  offset_mlp2_ = mlp->register_module(
      "2", Linear(kOffsetMlpWidth, options.num_heads,
                  LinearOptions{.init = WeightInit::kNormal02, .has_bias = false}));
}

torch::Tensor WindowAttentionImpl::bias(const WindowTables& tables) {
  if (!is_cosine_) return relative_bias(relative_position_bias_table_, tables.index);
  const torch::Tensor table = offset_mlp2_(at::relu(offset_mlp1_(tables.offsets)));
  // The sigmoid before the look-up: the table is smaller than what is looked up in it.
  return relative_bias(table.sigmoid() * kBiasScale, tables.index);
}

AttentionHeads WindowAttentionImpl::heads(const torch::Tensor& tokens) {
  torch::Tensor stacked = project(tokens);
  // On the host a copy here spares one in front of each product.
  if (stacked.device().is_cpu()) stacked = stacked.contiguous();
  if (!is_cosine_) {
    const std::vector<torch::Tensor> parts = stacked.unbind();
    return {parts[0], parts[1], parts[2]};
  }
  const std::vector<torch::Tensor> parts = stacked.split_with_sizes({2, 1});
  const torch::Tensor lengths =  // (2, B * windows, heads, N, 1)
      at::linalg_vector_norm(parts[0], 2, at::IntArrayRef{-1}, /*keepdim=*/true)
          .clamp_min(kNormEps);
  const torch::Tensor scale = logit_scale_.clamp_max(kMaxLogitScale).exp();
  const torch::Tensor scales = at::stack({scale, at::ones_like(scale)}).unsqueeze(1);
  const std::vector<torch::Tensor> directions = (parts[0] * (scales / lengths)).unbind();
  return {directions[0], directions[1], parts[1].squeeze(0)};
}

torch::Tensor WindowAttentionImpl::forward(const torch::Tensor& tokens,
                                           const WindowTables& tables) {
  const auto [query, key, value] = heads(tokens);  // (B * windows, heads, N, d)
  const std::optional<double> scale = is_cosine_ ? std::optional<double>(1.0) : std::nullopt;
  torch::Tensor bias_and_mask = bias(tables).unsqueeze(0);
  if (!tables.mask.defined()) return join(attend({query, key, value}, bias_and_mask, scale));
  // Windows count as heads, so that one bias with mask serves all images.
  bias_and_mask = (bias_and_mask + tables.mask).flatten(0, 1).unsqueeze(0);
  const std::vector<int64_t> sizes = query.sizes().vec();
  const int64_t num_windows = tables.mask.size(0);
  const auto merge = [&](const torch::Tensor& x) {
    return x.reshape({sizes[0] / num_windows, num_windows * sizes[1], sizes[2], sizes[3]});
  };
  const torch::Tensor values =
      attend({merge(query), merge(key), merge(value)}, bias_and_mask, scale);
  return join(values.reshape(sizes));
}

std::vector<ParameterRule> WindowAttentionImpl::parameter_rules() {
  std::vector<ParameterRule> rules = AttentionProjectionsImpl::parameter_rules();
  if (is_cosine_) {
    rules.push_back({"logit_scale", logit_scale_, Distribution::kConstant, std::log(10.0)});
  } else {
    rules.push_back({"relative_position_bias_table", relative_position_bias_table_,
                     Distribution::kNormal, 0.02});
  }
  return rules;
}

}  // namespace podium::models
