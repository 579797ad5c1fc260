// The variants of EfficientNet.
#include <fmt/format.h>

#include "models/backbones/families.h"
#include "models/backbones/layouts.h"

namespace podium::models {
namespace {

struct Variant {
  double width_factor, depth_factor;
  int64_t image_size, tf_image_size;
};
constexpr std::array<Variant, 8> kVariants{{{1.0, 1.0, 224, 224},
                                            {1.0, 1.1, 240, 240},
                                            {1.1, 1.2, 256, 260},
                                            {1.2, 1.4, 288, 300},
                                            {1.4, 1.8, 320, 380},
                                            {1.6, 2.2, 448, 456},
                                            {1.8, 2.6, 528, 528},
                                            {2.0, 3.1, 600, 600}}};

}  // namespace

EfficientNetLayout efficientnet_layout(const std::string& name) {
  const Variant& variant = kVariants.at(static_cast<size_t>(name.back() - '0'));
  return {.width_factor = variant.width_factor,
          .depth_factor = variant.depth_factor,
          .is_tf = name.starts_with("tf_")};
}

ModelRows efficientnet_models() {
  ModelRows models;
  for (size_t i = 0; i < kVariants.size(); ++i) {
    for (const bool is_tf : {false, true}) {
      ModelRow model;
      model.name = fmt::format("{}efficientnet_b{}", is_tf ? "tf_" : "", i);
      model.family = "efficientnet";
      model.image_size = is_tf ? kVariants[i].tf_image_size : kVariants[i].image_size;
      if (i == 1 && !is_tf) model.mean = model.std = {0.5f, 0.5f, 0.5f};
      model.naming = "timm";
      model.help = fmt::format("EfficientNet-b{}{}", i, is_tf ? " with TensorFlow's padding" : "");
      model.create = create_efficientnet;
      models.push_back(std::move(model));
    }
  }
  return models;
}

}  // namespace podium::models
