// The BEiTs that timm has under these names.
#include <fmt/format.h>

#include "models/backbones/families.h"
#include "models/backbones/layouts.h"
#include "models/backbones/vit_naming.h"

namespace podium::models {
namespace {

struct Row {
  const char* name;
  BeitLayout layout;
  bool is_v2;
};

const std::vector<Row>& rows() {
  const auto base = [](int64_t image_size, double layer_scale) {
    return BeitLayout{.image_size = image_size, .layer_scale = layer_scale};
  };
  const auto large = [](int64_t image_size) {
    return BeitLayout{.num_channels = 1024,
                      .depth = 24,
                      .num_heads = 16,
                      .image_size = image_size,
                      .layer_scale = 1e-5};
  };
  static const std::vector<Row> kRows{
      {"beit_base_patch16_224", base(224, 0.1), false},
      {"beit_base_patch16_384", base(384, 0.1), false},
      {"beit_large_patch16_224", large(224), false},
      {"beit_large_patch16_384", large(384), false},
      {"beit_large_patch16_512", large(512), false},
      {"beitv2_base_patch16_224", base(224, 1e-5), true},
      {"beitv2_large_patch16_224", large(224), true},
  };
  return kRows;
}

}  // namespace

BeitLayout beit_layout(const std::string& name) { return find_row(rows(), name).layout; }

ModelRows beit_models() {
  ModelRows models;
  for (const Row& row : rows()) {
    ModelRow model;
    model.name = row.name;
    model.family = "beit";
    model.image_size = row.layout.image_size;
    model.naming = "timm, transformers";
    if (!row.is_v2) model.mean = model.std = {0.5f, 0.5f, 0.5f};
    model.help =
        fmt::format("{}-{}/16", row.is_v2 ? "BEiT-v2" : "BEiT", row.layout.depth == 12 ? "B" : "L");
    model.namings = beit_namings();
    model.create = create_beit;
    models.push_back(std::move(model));
  }
  return models;
}

}  // namespace podium::models
