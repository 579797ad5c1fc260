// A head that reads a feature map, whatever the backbone. Read next: classifier.h,
// ../heads/head_table.h.
#pragma once

#include <torch/nn/module.h>

namespace podium::models {

// Shapes: map (B, C, h, w) of any size -> logits (B, K).
class MapHead : public torch::nn::Module {
 public:
  virtual torch::Tensor forward(const torch::Tensor& map) = 0;
};

}  // namespace podium::models
