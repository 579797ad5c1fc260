// A classification backbone and the head on it: features of the whole image, then logits. A
// backbone brings its own linear head under the public name; other heads are attached in its place.
// Read next: ../heads/head_table.h, ../registry.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/interface/map_head.h"
#include "models/interface/vision_model.h"

namespace podium::models {

class Classifier : public VisionModel {
 public:
  using VisionModel::VisionModel;
  // forward_features(), then the attached head if there is one, else forward_head().
  ModelOutput forward(const torch::Tensor& images) override;
  // The public definition's forward_features: (B, D, H, W) of convolutional backbones, (B, H, W, D)
  // of Swin, (B, L, D) of ViT, after the last norm.
  virtual torch::Tensor forward_features(const torch::Tensor& images) = 0;
  // Pooling and the linear layer. With num_classes 0 the logits are the pooled features.
  // Shapes: what forward_features() gives -> logits (B, K), features (B, D'), unpooled as given.
  virtual ModelOutput forward_head(const torch::Tensor& features) = 0;
  // The features as the map that attached heads read, without class and register tokens.
  // Shapes: -> (B, map_channels(), h, w). `height`, `width`: of the images, in px.
  virtual torch::Tensor feature_map(const torch::Tensor& features, int64_t height,
                                    int64_t width) const;
  // The features as the public definition's forward_features gives them, where forward_features()
  // gives more.
  virtual torch::Tensor unpooled(const torch::Tensor& features, int64_t, int64_t) const {
    return features;
  }
  virtual int64_t map_channels() const = 0;
  // px of the image per place of the map.
  virtual int64_t map_stride() const { return 32; }
  // The child that holds the head: "fc", "head", "classifier".
  virtual std::string head_name() const = 0;
  // Layers of the public definition, before its head, that the options leave out: {"norm"}.
  virtual std::vector<std::string> left_out_names() const { return {}; }
  std::vector<std::string> head_prefixes() const override;
  // Registers `head` under head_name(). Requires: the backbone was built with num_classes 0.
  void attach_head(std::shared_ptr<MapHead> head);

 protected:
  bool lacks_last_norm() const { return options().is_encoder || !options().has_last_norm; }

 private:
  std::shared_ptr<MapHead> head_;  // null: the backbone's own linear head
};

}  // namespace podium::models
