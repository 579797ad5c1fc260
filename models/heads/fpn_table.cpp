// The ResNets whose own head is "fpn".
#include <fmt/format.h>

#include "models/backbones/families.h"

namespace podium::models {

ModelRows fpn_models() {
  ModelRows models;
  for (const char* depth : {"18", "34", "50"}) {
    ModelRow model;
    model.name = fmt::format("fpn_resnet{}", depth);
    model.family = "fpn";
    model.task = ModelTask::kSegmentation;
    model.image_size = 256;
    model.naming = "segmentation_models_pytorch";
    model.help = fmt::format("feature pyramid segmentation on ResNet-{}", depth);
    model.create = create_fpn_resnet;
    models.push_back(std::move(model));
  }
  return models;
}

}  // namespace podium::models
