// Attention between two sequences and the post-norm transformer layers of the heads, with the
// parameter names of torch.nn's MultiheadAttention, TransformerEncoderLayer and
// TransformerDecoderLayer. Read next: ml_decoder.h, q2l.h.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <vector>

#include "models/layers/layers.h"
#include "models/layers/transformer_layers.h"

namespace podium::models {

struct TransformerLayerOptions {
  int64_t dim = 0;  // D, a multiple of num_heads
  int64_t num_heads = 8;
  int64_t num_hidden = 0;  // of the two linear layers
  double drop_rate = 0.0;  // of attention weights, hidden values and residual branches, in [0, 1)
  // First values of weights: kXavierUniform (torch.nn.Transformer) or kTorchDefault (layers alone).
  WeightInit init = WeightInit::kXavierUniform;
};

// Shapes: query (B, Q, D), key and value (B, L, D) -> (B, Q, D).
class MultiheadAttentionImpl : public torch::nn::Module, public Initialised {
 public:
  explicit MultiheadAttentionImpl(const TransformerLayerOptions& options);
  torch::Tensor forward(const torch::Tensor& query, const torch::Tensor& key,
                        const torch::Tensor& value);
  std::vector<ParameterRule> parameter_rules() override;

 private:
  torch::Tensor in_proj_weight_, in_proj_bias_;  // query, key and value one below the other
  Linear out_proj_{nullptr};
  int64_t num_heads_;
  double drop_rate_;
};
TORCH_MODULE(MultiheadAttention);

// Shapes: x (B, L, D), position (1, L, D) added to query and key, or undefined -> (B, L, D).
class TransformerEncoderLayerImpl : public torch::nn::Module {
 public:
  explicit TransformerEncoderLayerImpl(const TransformerLayerOptions& options);
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& position);

 private:
  MultiheadAttention self_attention_{nullptr};
  Linear linear1_{nullptr}, linear2_{nullptr};
  LayerNorm norm1_{nullptr}, norm2_{nullptr};
  double drop_rate_;
};
TORCH_MODULE(TransformerEncoderLayer);

// What a decoder layer does before its queries attend to the memory.
enum class QueryMixing {
  kSelfAttention,  // torch.nn's: self_attn and norm1
  kDoubling,       // ML-Decoder's: norm1(x + dropout(x)), no self_attn
  kNone,           // Query2Label's: neither self_attn nor norm1
};

// Shapes: x (B, Q, D), memory (B, L, D); `memory_position` (1, L, D) is added to keys and
// `query_position` (1, Q, D) to queries of the cross attention; both may be undefined -> (B, Q, D).
class TransformerDecoderLayerImpl : public torch::nn::Module {
 public:
  TransformerDecoderLayerImpl(const TransformerLayerOptions& options, QueryMixing mixing);
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& memory,
                        const torch::Tensor& memory_position = {},
                        const torch::Tensor& query_position = {});

 private:
  MultiheadAttention self_attention_{nullptr}, cross_attention_{nullptr};
  Linear linear1_{nullptr}, linear2_{nullptr};
  LayerNorm norm1_{nullptr}, norm2_{nullptr}, norm3_{nullptr};
  QueryMixing mixing_;
  double drop_rate_;
};
TORCH_MODULE(TransformerDecoderLayer);

}  // namespace podium::models
