// A linear model on colour histograms: the baseline that a learnt model has to beat. It sees which
// colours an image has and how much of each, and nothing of where they are. Read next: registry.h.
#pragma once

#include <string>
#include <vector>

#include "models/interface/vision_model.h"
#include "models/layers/layers.h"

namespace podium::models {

// Shapes: images (B, 1 or 3, H, W), normalised by ImageNet's mean and standard deviation (one
// channel: by their means over the channels) -> logits (B, K), features (B, 16 or 112). Features:
// sqrt(n * share) - 1 of each histogram's n bins, so that an even histogram gives 0: 16 even bins
// of [0, 1] per channel, and with three channels 4 x 4 x 4 bins of the colour. They carry no
// gradient; the only parameters are fc's.
class ColorHistogram : public VisionModel {
 public:
  explicit ColorHistogram(const ModelOptions& options);
  ModelOutput forward(const torch::Tensor& images) override;
  std::vector<std::string> head_prefixes() const override { return {"fc."}; }
  std::string first_convolution() const override { return ""; }

 private:
  torch::Tensor features(const torch::Tensor& images) const;

  Linear fc_{nullptr};
};

}  // namespace podium::models
