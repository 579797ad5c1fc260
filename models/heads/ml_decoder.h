// The ML-Decoder head (Ridnik et al., "ML-Decoder: scalable and versatile classification head",
// 2021), with the official repository's parameter names. Read next: attention_layers.h.
#pragma once

#include <cstdint>

#include "models/interface/map_head.h"
#include "models/layers/attention_layers.h"

namespace podium::models {

struct MlDecoderOptions {
  int64_t in_channels = 0;
  int64_t num_classes = 0;
  int64_t num_queries = 0;  // groups of classes; 0: one per class, at most 100
  int64_t dim = 768;
  double drop_rate = 0.1;
  bool is_learnable = false;  // false: the queries keep their first values, N(0, 1)
};

// Queries attend to the map; each gives the logits of its group of ceil(K / Q) classes in a row.
// Shapes: (B, in_channels, h, w) -> (B, K).
class MlDecoder : public MapHead, public Initialised {
 public:
  explicit MlDecoder(const MlDecoderOptions& options);
  torch::Tensor forward(const torch::Tensor& map) override;
  std::vector<ParameterRule> parameter_rules() override;

 private:
  Linear embedding_{nullptr};
  torch::Tensor queries_;                    // (Q, D)
  torch::Tensor group_weight_, group_bias_;  // (Q, D, K / Q), (K)
  TransformerDecoderLayer layer_{nullptr};
};

}  // namespace podium::models
