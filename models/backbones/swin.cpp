// Swin and Swin-v2.
#include "models/backbones/swin.h"

#include <fmt/format.h>

#include <numeric>

#include "base/error.h"
#include "models/backbones/families.h"

namespace podium::models {
namespace {

constexpr int64_t kPatchSize = 4;  // px
constexpr int64_t kMlpRatio = 4;

int64_t channels_of(const SwinLayout& layout, size_t stage) { return layout.num_channels << stage; }

}  // namespace

SwinBlockImpl::SwinBlockImpl(SwinBlockOptions options) : options_(options) {
  const int64_t num_channels = options.num_channels;
  const double initial_weight = options.is_v2 ? 0.0 : 1.0;
  norm1_ = register_module("norm1", LayerNorm(num_channels, 1e-5, initial_weight));
  attn_ = register_module("attn",
                          WindowAttention(WindowAttentionOptions{.num_channels = num_channels,
                                                                 .num_heads = options.num_heads,
                                                                 .is_cosine = options.is_v2,
                                                                 .window = options.table_window}));
  norm2_ = register_module("norm2", LayerNorm(num_channels, 1e-5, initial_weight));
  mlp_ = register_module("mlp", Mlp(num_channels, kMlpRatio * num_channels));
}

torch::Tensor SwinBlockImpl::attend_windows(const torch::Tensor& map, const WindowGrid& grid,
                                            const WindowTables& tables) {
  const torch::Tensor windows = attn_(cut_windows(map, grid, tables.padded), tables);
  return join_windows(windows, grid, tables.padded, {map.size(1), map.size(2)});
}

torch::Tensor SwinBlockImpl::forward(const torch::Tensor& map, const WindowGrid& grid,
                                     const WindowTables& tables) {
  const auto add = [this](const torch::Tensor& x, const torch::Tensor& branch) {
    return x + drop_path(branch, options_.drop_path_rate, is_training());
  };
  if (options_.is_v2) {
    const torch::Tensor x = add(map, norm1_(attend_windows(map, grid, tables)));
    return add(x, norm2_(mlp_(x)));
  }
  const torch::Tensor x = add(map, attend_windows(norm1_(map), grid, tables));
  return add(x, mlp_(norm2_(x)));
}

PatchMergingImpl::PatchMergingImpl(int64_t num_channels, bool is_v2) : is_v2_(is_v2) {
  reduction_ = register_module(
      "reduction", Linear(4 * num_channels, 2 * num_channels,
                          LinearOptions{.init = WeightInit::kNormal02, .has_bias = false}));
  norm_ = register_module("norm", LayerNorm((is_v2 ? 2 : 4) * num_channels));
}

torch::Tensor PatchMergingImpl::forward(const torch::Tensor& map) {
  torch::Tensor x = map;
  const int64_t odd_rows = x.size(1) % 2, odd_columns = x.size(2) % 2;
  if (odd_rows + odd_columns > 0) {
    x = at::constant_pad_nd(x, {0, 0, 0, odd_columns, 0, odd_rows});
  }
  // Column by column within the 2 x 2: (0, 0), (1, 0), (0, 1), (1, 1).
  x = x.reshape({x.size(0), x.size(1) / 2, 2, x.size(2) / 2, 2, x.size(3)})
          .permute({0, 1, 3, 4, 2, 5})
          .flatten(3);
  return is_v2_ ? norm_(reduction_(x)) : reduction_(norm_(x));
}

Swin::Swin(const ModelOptions& options, const SwinLayout& layout)
    : Classifier(options), layout_(layout) {
  if (options.image_size > 0) layout_.image_size = options.image_size;
  if (options.window_size > 0) layout_.window_size = options.window_size;
  if (layout_.window_size < 2) {
    throw UsageError(fmt::format("model {}: window_size is {}, expected at least 2", options.name,
                                 layout_.window_size));
  }
  if (!options.pool.empty() && options.pool != "avg") {
    throw UsageError(fmt::format("model {}: unknown pool \"{}\"; the only pool is avg",
                                 options.name, options.pool));
  }
  patch_embed_ = register_module(
      "patch_embed", PatchEmbedding(PatchEmbeddingOptions{.in_channels = options.in_channels,
                                                          .patch_size = kPatchSize,
                                                          .num_channels = layout.num_channels,
                                                          .has_norm = true}));
  auto layers = register_module("layers", std::make_shared<torch::nn::Module>());
  const std::vector<double> rates =
      drop_path_rates(options.drop_path_rate,
                      std::accumulate(layout.depths.begin(), layout.depths.end(), int64_t{0}));
  for (size_t stage = 0; stage < stages_.size(); ++stage) add_stage(*layers, stage, rates);
  stem_weight_ = patch_embed_->parameters().front();
  if (lacks_last_norm()) return;
  norm_ = register_module("norm", LayerNorm(map_channels()));
  if (options.num_classes == 0) return;
  auto head = register_module("head", std::make_shared<torch::nn::Module>());
  fc_ = head->register_module("fc",
                              Linear(map_channels(), options.num_classes, WeightInit::kNormal02));
}

void Swin::add_stage(torch::nn::Module& layers, size_t number, const std::vector<double>& rates) {
  Stage& stage = stages_[number];
  auto container =
      layers.register_module(std::to_string(number), std::make_shared<torch::nn::Module>());
  if (number > 0) {
    stage.downsample = container->register_module(
        "downsample", PatchMerging(channels_of(layout_, number - 1), layout_.is_v2));
  }
  int64_t side = layout_.image_size / kPatchSize;
  for (size_t halvings = 0; halvings < number; ++halvings) side = (side + 1) / 2;
  for (const bool is_shifted : {false, true}) {
    stage.grids[is_shifted] = fit_windows({side, side}, layout_.window_size, is_shifted);
  }
  auto blocks = container->register_module("blocks", std::make_shared<torch::nn::Module>());
  const auto first = std::accumulate(layout_.depths.begin(), layout_.depths.begin() + number, 0l);
  for (int64_t block = 0; block < layout_.depths[number]; ++block) {
    stage.blocks.push_back(blocks->register_module(
        std::to_string(block),
        SwinBlock(SwinBlockOptions{.is_v2 = layout_.is_v2,
                                   .num_channels = channels_of(layout_, number),
                                   .num_heads = layout_.num_heads[number],
                                   .table_window = stage.grids[0].window,
                                   .drop_path_rate = rates[static_cast<size_t>(first + block)]})));
  }
}

std::vector<torch::Tensor> Swin::run_stages(const torch::Tensor& images) {
  check_images(images);
  check_sides(options().name, images, kPatchSize);
  torch::Tensor x = patch_embed_(images);
  std::vector<torch::Tensor> maps;
  for (size_t number = 0; number < stages_.size(); ++number) {
    Stage& stage = stages_[number];
    if (stage.downsample) x = stage.downsample(x);
    const Grid size{x.size(1), x.size(2)};
    for (size_t block = 0; block < stage.blocks.size(); ++block) {
      const bool is_shifted = block % 2 == 1;
      const WindowGrid grid = layout_.is_v2 ? fit_windows(size, layout_.window_size, is_shifted)
                                            : stage.grids[is_shifted];
      const WindowTables& tables =
          tables_.find(size, grid, layout_.pretrained_windows[number], stem_weight_);
      x = run_block(x, [layer = stage.blocks[block], grid, tables](
                           const torch::Tensor& map) mutable { return layer(map, grid, tables); });
    }
    maps.push_back(x);
  }
  return maps;
}

torch::Tensor Swin::forward_features(const torch::Tensor& images) {
  const torch::Tensor map = run_stages(images).back();
  return norm_ ? norm_(map) : map;
}

ModelOutput Swin::forward_head(const torch::Tensor& features) {
  const torch::Tensor pooled = features.mean({1, 2});
  if (!fc_) return {pooled, pooled, features};
  return {fc_(at::dropout(pooled, options().drop_rate, is_training())), pooled, features};
}

torch::Tensor Swin::feature_map(const torch::Tensor& features, int64_t, int64_t) const {
  return features.permute({0, 3, 1, 2});
}

std::vector<torch::Tensor> Swin::forward_pyramid(const torch::Tensor& images) {
  std::vector<torch::Tensor> maps = run_stages(images);
  for (torch::Tensor& map : maps) map = map.permute({0, 3, 1, 2});
  return maps;
}

std::vector<int64_t> Swin::pyramid_channels() const {
  std::vector<int64_t> channels;
  for (size_t stage = 0; stage < stages_.size(); ++stage) {
    channels.push_back(channels_of(layout_, stage));
  }
  return channels;
}

void Swin::adapt_weights(StateDict& weights) const {
  drop_position_buffers(weights);
  if (layout_.is_v2) return;
  for (size_t number = 0; number < stages_.size(); ++number) {
    const std::string prefix = fmt::format("layers.{}.", number);
    for (auto& [name, tensor] : weights) {
      if (!name.starts_with(prefix) || !name.ends_with(".relative_position_bias_table")) continue;
      if (tensor.dim() != 2) continue;
      tensor = resize_relative_table(tensor, stages_[number].grids[0].window, 0);
    }
  }
}

std::shared_ptr<VisionModel> create_swin(const ModelOptions& options) {
  return std::make_shared<Swin>(options, swin_layout(options.name));
}

}  // namespace podium::models
