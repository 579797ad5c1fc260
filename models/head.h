// Heads that attend to a backbone's feature map, for any backbone. Read next: classifier.h,
// ml_decoder.h, q2l.h.
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

#include "models/vision_model.h"

namespace podium::models {

// Shapes: map (B, C, h, w) of any size -> logits (B, K).
class MapHead : public torch::nn::Module {
 public:
  virtual torch::Tensor forward(const torch::Tensor& map) = 0;
};

// "linear", "ml_decoder", ..
const std::vector<std::string>& list_heads();
// Errors: UsageError for an unknown name or an option out of range, with what is allowed.
void check_head_options(const ModelOptions& options);
// `body` with the head options.head: the same module, or one around it.
// Requires: the body was built with num_classes 0; the head is not linear. Errors: UsageError when
// the model brings its own head.
std::shared_ptr<VisionModel> put_head_on(std::shared_ptr<VisionModel> body,
                                         const ModelOptions& options);

}  // namespace podium::models
