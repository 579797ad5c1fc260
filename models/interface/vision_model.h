// What every model is: images in, logits out, with public parameter names. Read next:
// model_options.h, classifier.h, ../registry.h, recompute.h.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "models/interface/model_options.h"
#include "models/layers/recompute.h"
#include "models/layers/state_dict.h"

namespace podium::models {

// Which parameters make a layer, for learning rates that fall from layer to layer
// (layer_numbers.h): regular expressions that match at a name's start, empty where a model has no
// such part. Tried in this order; what none finds belongs to the head.
struct LayerPatterns {
  std::string stem{};              // the first layer
  std::string shared_positions{};  // positions that all blocks read
  std::string opening{};           // with the first block of a stage; one group, its number
  std::string block{};             // a layer each; groups: the numbers of [stage and] block
  std::string closing{};           // what follows the last block, but for the head
};

// What a forward pass gives.
struct ModelOutput {
  torch::Tensor logits;    // (B, K), or (B, K, H, W) at the input's size
  torch::Tensor features;  // (B, D) what a linear head reads; segmentation: (B, D, H/4, W/4)
  torch::Tensor unpooled;  // the public definition's forward_features; undefined where it has none
};

// Base of all models. Parameter and buffer names are those of the public reference, letter for
// letter.
class VisionModel : public torch::nn::Module {
 public:
  explicit VisionModel(ModelOptions options) : options_(std::move(options)) {}
  // Shapes: images (B, in_channels, H, W), normalised. Errors: UsageError naming the sizes that are
  // allowed.
  virtual ModelOutput forward(const torch::Tensor& images) = 0;
  // Feature maps from fine to coarse, before the last norm: four, or the one map of a backbone
  // without stages (ViT), from which pyramid.h makes four. Shapes: -> (B, C', h, w) each. Errors:
  // UsageError when the backbone has none.
  virtual std::vector<torch::Tensor> forward_pyramid(const torch::Tensor& images);
  // Channels of those maps.
  virtual std::vector<int64_t> pyramid_channels() const;
  // px of the image per place of those maps.
  virtual std::vector<double> pyramid_strides() const { return {4, 8, 16, 32}; }
  // Prefixes of the parameters that belong to the head (left out when the class count differs):
  // {"fc."}.
  virtual std::vector<std::string> head_prefixes() const = 0;
  // Name of the first convolution's weight, which is adapted to another number of input channels:
  // "conv1.weight".
  virtual std::string first_convolution() const = 0;
  // Layers of the model itself; of a model around a backbone(): those of that.
  virtual LayerPatterns layer_patterns() const { return {}; }
  // Parts of the names of weights that the public definition trains without weight decay, besides
  // norms and biases: "pos_embed".
  virtual std::vector<std::string> no_decay_keywords() const { return {}; }
  // Fits tables of positions in published weights to this model and drops buffers that the model
  // computes itself, before names and shapes are compared. Errors: DataError.
  virtual void adapt_weights(StateDict&) const {}
  // The part that published classification weights fit: the model itself, or a segmentation model's
  // encoder.
  virtual VisionModel& backbone() { return *this; }
  // Whether training keeps what happens inside blocks for the backward pass, or computes it again
  // there (recompute.h): less memory, a forward pass more. Of the backbone too.
  void recompute_blocks(bool is_on);
  const ModelOptions& options() const { return options_; }

 protected:
  // block(input), recomputed where that is on; `block` owns what it holds.
  template <typename Block>
  torch::Tensor run_block(const torch::Tensor& input, Block block) const {
    return is_recomputed_ && is_training() ? recompute(input, std::move(block)) : block(input);
  }
  // Errors: UsageError when images are not (B, in_channels, H, W).
  void check_images(const torch::Tensor& images) const;

 private:
  ModelOptions options_;
  bool is_recomputed_ = false;
};

}  // namespace podium::models
