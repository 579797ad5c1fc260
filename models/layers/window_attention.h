// Attention within windows of a map, for Swin: the geometry of (shifted) windows and the attention
// of Swin and Swin-v2 with timm's parameter names. Read next: swin.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "models/layers/position_embedding.h"
#include "models/layers/transformer_layers.h"

namespace podium::models {

// How a map is cut. Window and shift may differ between the axes.
struct WindowGrid {
  Grid window{7, 7};  // positions
  Grid shift{0, 0};   // the map is rolled up and left by it first; 0: not
};
// Both axes: a map not larger than the window takes one window of its size, without shift.
WindowGrid fit_windows(Grid map, int64_t window_size, bool is_shifted);

// What attention over the windows of one map needs besides parameters.
struct WindowTables {
  Grid padded;            // the map's size, rounded up to whole windows
  torch::Tensor index;    // (N * N) int64: rows of the relative table
  torch::Tensor offsets;  // ((2 h - 1) * (2 w - 1), 2): Swin-v2's log-spaced offsets
  torch::Tensor mask;     // (windows, 1, N, N): 0, or -100 between regions that the roll brought
                          // together; undefined without shift
};

// Computes tables once per size of map, device and type, and keeps them.
class WindowTableCache {
 public:
  // `pretrained_window`: the window whose offsets are scaled to +-8; 0: the grid's own.
  const WindowTables& find(Grid map, const WindowGrid& grid, int64_t pretrained_window,
                           const torch::Tensor& like);

 private:
  using Key = std::tuple<Grid, Grid, Grid, int64_t, torch::DeviceType, int, torch::ScalarType>;
  std::map<Key, WindowTables> tables_;
};

// (B, H, W, C) -> (B * windows, h * w, C), padded with zeros at the right and bottom; and back.
torch::Tensor cut_windows(const torch::Tensor& map, const WindowGrid& grid, Grid padded);
torch::Tensor join_windows(const torch::Tensor& windows, const WindowGrid& grid, Grid padded,
                           Grid map);

struct WindowAttentionOptions {
  int64_t num_channels = 96;
  int64_t num_heads = 3;
  bool is_cosine = false;  // Swin-v2
  Grid window{7, 7};       // Swin-v1: of the table
};

// Attention among the tokens of each window, with a bias per relative position.
// Swin-v1: a table of biases. Swin-v2: cosine attention, its scale learnt per head and bounded by
// 100; the bias is 16 sigmoid(MLP(offset)).
// Shapes: tokens (B * windows, N, C) -> same.
class WindowAttentionImpl : public AttentionProjectionsImpl {
 public:
  explicit WindowAttentionImpl(WindowAttentionOptions options);
  torch::Tensor forward(const torch::Tensor& tokens, const WindowTables& tables);
  std::vector<ParameterRule> parameter_rules() override;

 private:
  torch::Tensor bias(const WindowTables& tables);  // (heads, N, N)
  // Shapes: (B * windows, N, C) -> each (B * windows, heads, N, C / heads). Swin-v2: queries and
  // keys of length 1, the queries times the scale.
  AttentionHeads heads(const torch::Tensor& tokens);

  bool is_cosine_;
  torch::Tensor relative_position_bias_table_;  // v1
  torch::Tensor logit_scale_;                   // v2: (heads, 1, 1), a logarithm
  Linear offset_mlp1_{nullptr}, offset_mlp2_{nullptr};
};
TORCH_MODULE(WindowAttention);

}  // namespace podium::models
