// Backbone and head joined.
#include "models/interface/classifier.h"

#include <utility>

namespace podium::models {

ModelOutput Classifier::forward(const torch::Tensor& images) {
  const int64_t height = images.size(2), width = images.size(3);
  const torch::Tensor features = forward_features(images);
  ModelOutput output;
  if (head_) {
    const torch::Tensor map = feature_map(features, height, width);
    output = {head_->forward(map), map.mean({2, 3}), {}};
  } else {
    output = forward_head(features);
  }
  output.unpooled = unpooled(features, height, width);
  return output;
}

torch::Tensor Classifier::feature_map(const torch::Tensor& features, int64_t, int64_t) const {
  return features;
}

std::vector<std::string> Classifier::head_prefixes() const {
  std::vector<std::string> prefixes{head_name() + "."};
  for (const std::string& name : left_out_names()) prefixes.push_back(name + ".");
  return prefixes;
}

void Classifier::attach_head(std::shared_ptr<MapHead> head) {
  head_ = register_module(head_name(), std::move(head));
}

}  // namespace podium::models
