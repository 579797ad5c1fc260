// Backbone and head joined.
#include "models/classifier.h"

#include <utility>

namespace podium::models {

ModelOutput Classifier::forward(const torch::Tensor& images) {
  const torch::Tensor features = forward_features(images);
  if (!head_) return forward_head(features);
  const torch::Tensor map = feature_map(features, images.size(2), images.size(3));
  return {head_->forward(map), map.mean({2, 3}), features};
}

torch::Tensor Classifier::feature_map(const torch::Tensor& features, int64_t, int64_t) const {
  return features;
}

void Classifier::attach_head(std::shared_ptr<MapHead> head) {
  head_ = register_module(head_name(), std::move(head));
}

}  // namespace podium::models
