// The variants of ResNet and ResNeXt.
#include "models/backbones/families.h"
#include "models/backbones/layouts.h"

namespace podium::models {
namespace {

struct Variant {
  const char* name;
  ResNetLayout layout;
  const char* help;
};
constexpr std::array<Variant, 8> kVariants{
    {{"resnet18", {{2, 2, 2, 2}, false}, "18 layers, basic blocks"},
     {"resnet34", {{3, 4, 6, 3}, false}, "34 layers, basic blocks"},
     {"resnet50", {}, "50 layers, bottleneck blocks, stride in the 3x3 (v1.5)"},
     {"resnet101", {{3, 4, 23, 3}}, "101 layers, bottleneck blocks"},
     {"resnet152", {{3, 8, 36, 3}}, "152 layers, bottleneck blocks"},
     {"resnext50_32x4d", {{3, 4, 6, 3}, true, 32, 4}, "50 layers, 32 groups of 4 channels"},
     {"resnext101_32x8d", {{3, 4, 23, 3}, true, 32, 8}, "101 layers, 32 groups of 8 channels"},
     {"resnext101_32x16d", {{3, 4, 23, 3}, true, 32, 16}, "101 layers, 32 groups of 16 channels"}}};

}  // namespace

ResNetLayout resnet_layout(const std::string& name) { return find_row(kVariants, name).layout; }

ModelRows resnet_models() {
  ModelRows models;
  for (const Variant& variant : kVariants) {
    ModelRow model;
    model.name = variant.name;
    model.family = model.name.starts_with("resnext") ? "resnext" : "resnet";
    model.naming = "timm, torchvision";
    model.help = variant.help;
    model.create = create_resnet;
    models.push_back(std::move(model));
  }
  return models;
}

}  // namespace podium::models
