// The variants of TResNet.
#include "models/backbones/families.h"
#include "models/backbones/layouts.h"

namespace podium::models {
namespace {

struct Variant {
  const char* name;
  TResNetLayout layout;
  const char* help;
};
constexpr std::array<Variant, 4> kVariants{
    {{"tresnet_m", {}, "TResNet-M: 64 channels"},
     {"tresnet_l", {{4, 5, 18, 3}, 1.2, false}, "TResNet-L: 76 channels"},
     {"tresnet_xl", {{4, 5, 24, 3}, 1.3, false}, "TResNet-XL: 83 channels"},
     {"tresnet_v2_l", {{3, 4, 23, 3}, 1.0, true}, "TResNet-L of the second version"}}};

}  // namespace

TResNetLayout tresnet_layout(const std::string& name) { return find_row(kVariants, name).layout; }

ModelRows tresnet_models() {
  ModelRows models;
  for (const Variant& variant : kVariants) {
    ModelRow model;
    model.name = variant.name;
    model.family = "tresnet";
    model.mean = {0, 0, 0};
    model.std = {1, 1, 1};
    model.naming = "timm, official";
    model.help = variant.help;
    model.namings = tresnet_namings();
    model.create = create_tresnet;
    models.push_back(std::move(model));
  }
  return models;
}

}  // namespace podium::models
