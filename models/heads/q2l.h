// Query2Label (Liu et al., "Query2Label: a simple transformer way to multi-label classification",
// 2021) around any backbone, in its official form and in a simplified one. Read next:
// attention_layers.h, classifier.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/interface/classifier.h"
#include "models/layers/attention_layers.h"

namespace podium::models {

// The two-dimensional sine embedding of DETR, normalised to 2 pi: the row's half of the channels,
// then the column's, each with sine and cosine in turn. Shapes: -> (1, dim, height, width) float32.
torch::Tensor sine_positions(int64_t dim, int64_t height, int64_t width);

// The encoder and decoder of both forms. Names: encoder.layers.N, decoder.layers.N, decoder.norm.
class LabelTransformerImpl : public torch::nn::Module {
 public:
  // `is_plain`: torch.nn.Transformer's form, with self attention among the queries and a norm after
  // the encoder.
  LabelTransformerImpl(const TransformerLayerOptions& options, bool is_plain);
  // Shapes: memory (B, L, D), position (1, L, D) or undefined, queries (1 or B, Q, D) -> (B, Q, D).
  // Plain: the queries are the decoder's input; else they are added to its queries in each layer,
  // and the input is zero.
  torch::Tensor forward(const torch::Tensor& memory, const torch::Tensor& position,
                        const torch::Tensor& queries);

 private:
  std::vector<TransformerEncoderLayer> encoder_;
  std::vector<TransformerDecoderLayer> decoder_;
  LayerNorm encoder_norm_{nullptr}, decoder_norm_{nullptr};
  bool is_plain_;
};
TORCH_MODULE(LabelTransformer);

// The official model: the backbone is backbone.0, the positions are the buffer backbone.1.pe; each
// class has a query and a linear function of its decoded query.
// Shapes: images as the backbone's -> logits (B, K), features (B, C) the map's mean.
class Query2Label : public VisionModel, public Initialised {
 public:
  // Requires: `body` has no head. The head's key dim 0: the width is the backbone's, and there is
  // no input_proj. Errors: UsageError when the width is not a multiple of 4.
  Query2Label(const ModelOptions& options, std::shared_ptr<Classifier> body);
  ModelOutput forward(const torch::Tensor& images) override;
  std::vector<std::string> head_prefixes() const override;
  std::string first_convolution() const override {
    return "backbone.0." + body_->first_convolution();
  }
  std::vector<std::string> no_decay_keywords() const override { return body_->no_decay_keywords(); }
  void adapt_weights(StateDict& weights) const override;
  VisionModel& backbone() override { return *body_; }
  std::vector<ParameterRule> parameter_rules() override;

 private:
  // Of the map's size; the buffer when it has that size.
  torch::Tensor positions(const torch::Tensor& map) const;

  std::shared_ptr<Classifier> body_;
  Conv2d input_projection_{nullptr};  // null: the backbone's channels are the width
  LabelTransformer transformer_{nullptr};
  torch::Tensor queries_;                    // (K, D)
  torch::Tensor class_weight_, class_bias_;  // (1, K, D), (1, K)
  torch::Tensor position_;                   // (1, D, h, w)
};

// The simplified form: torch.nn.Transformer without positions on a projected map, taken before the
// backbone's last norm (which the model lacks), and one linear layer from all decoded queries to
// all classes. Names: backbone, conv, transformer, label_emb, classifier. Source: the S1 solution's
// Q2L models (seok-AI/2023-AICOSS, cvt_q2l and tresnet_xl_q2l).
class SimplifiedQuery2Label : public VisionModel, public Initialised {
 public:
  // Requires: `body` has no head and no last norm. The head's key dim 0: 256. Errors:
  // UsageError when the width is not a multiple of 8.
  SimplifiedQuery2Label(const ModelOptions& options, std::shared_ptr<Classifier> body);
  ModelOutput forward(const torch::Tensor& images) override;
  std::vector<std::string> head_prefixes() const override {
    return {"conv.", "transformer.", "label_emb", "classifier."};
  }
  std::string first_convolution() const override {
    return "backbone." + body_->first_convolution();
  }
  std::vector<std::string> no_decay_keywords() const override { return body_->no_decay_keywords(); }
  VisionModel& backbone() override { return *body_; }
  std::vector<ParameterRule> parameter_rules() override;

 private:
  std::shared_ptr<Classifier> body_;
  Conv2d projection_{nullptr};
  LabelTransformer transformer_{nullptr};
  torch::Tensor queries_;  // (1, K, D)
  Linear classifier_{nullptr};
};

}  // namespace podium::models
