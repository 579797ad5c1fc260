// What a step minimises: from a network's outputs for one micro-batch to a loss. Read next:
// network.h, ../losses/loss.h.
#pragma once

#include <torch/types.h>

#include <memory>
#include <utility>

#include "models/interface/vision_model.h"
#include "trainer/losses/loss.h"

namespace podium::trainer {

class Objective {
 public:
  virtual ~Objective() = default;
  // Shapes: `output` of the network that is trained, with its graph; `targets` as the task has them
  // (mixed where the recipe mixes). Returns a float32 scalar. Errors: those of the loss.
  virtual torch::Tensor operator()(const models::ModelOutput& output,
                                   const torch::Tensor& targets) const = 0;
};

// The loss of the logits against the targets.
class Supervised : public Objective {
 public:
  explicit Supervised(std::shared_ptr<const Loss> loss) : loss_(std::move(loss)) {}
  torch::Tensor operator()(const models::ModelOutput& output,
                           const torch::Tensor& targets) const override {
    return (*loss_)(output.logits, targets);
  }

 private:
  std::shared_ptr<const Loss> loss_;
};

}  // namespace podium::trainer
