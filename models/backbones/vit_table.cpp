// The ViTs that timm has under these names.
#include "models/backbones/families.h"
#include "models/backbones/layouts.h"
#include "models/backbones/vit_naming.h"

namespace podium::models {
namespace {

struct Row {
  const char* name;
  VitLayout layout;
  const char* help;
};

VitLayout plain(int64_t num_channels, int64_t depth, int64_t num_heads, int64_t patch_size,
                int64_t image_size) {
  return {.patch_size = patch_size,
          .num_channels = num_channels,
          .depth = depth,
          .num_heads = num_heads,
          .image_size = image_size,
          .num_hidden = 4 * num_channels};
}

VitLayout tiny(int64_t image_size) { return plain(192, 12, 3, 16, image_size); }
VitLayout small(int64_t patch_size, int64_t image_size) {
  return plain(384, 12, 6, patch_size, image_size);
}
VitLayout base(int64_t patch_size, int64_t image_size) {
  return plain(768, 12, 12, patch_size, image_size);
}
VitLayout large(int64_t patch_size, int64_t image_size) {
  return plain(1024, 24, 16, patch_size, image_size);
}

VitLayout dinov2(int64_t num_channels, int64_t depth, int64_t num_heads, int64_t num_registers) {
  VitLayout layout = plain(num_channels, depth, num_heads, 14, 518);
  layout.layer_scale = 1e-5;
  layout.num_registers = num_registers;
  return layout;
}

VitLayout dinov2_giant(int64_t num_registers) {
  VitLayout layout = dinov2(1536, 40, 24, num_registers);
  layout.mlp = MlpKind::kSwiGluPacked;
  layout.num_hidden = 8192;
  return layout;
}

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows{
      {"vit_tiny_patch16_224", tiny(224), "ViT-Ti/16"},
      {"vit_tiny_patch16_384", tiny(384), "ViT-Ti/16"},
      {"vit_small_patch8_224", small(8, 224), "ViT-S/8"},
      {"vit_small_patch16_224", small(16, 224), "ViT-S/16"},
      {"vit_small_patch16_384", small(16, 384), "ViT-S/16"},
      {"vit_small_patch32_224", small(32, 224), "ViT-S/32"},
      {"vit_small_patch32_384", small(32, 384), "ViT-S/32"},
      {"vit_base_patch8_224", base(8, 224), "ViT-B/8"},
      {"vit_base_patch16_224", base(16, 224), "ViT-B/16"},
      {"vit_base_patch16_384", base(16, 384), "ViT-B/16"},
      {"vit_base_patch32_224", base(32, 224), "ViT-B/32"},
      {"vit_base_patch32_384", base(32, 384), "ViT-B/32"},
      {"vit_large_patch14_224", large(14, 224), "ViT-L/14"},
      {"vit_large_patch16_224", large(16, 224), "ViT-L/16"},
      {"vit_large_patch16_384", large(16, 384), "ViT-L/16"},
      {"vit_large_patch32_224", large(32, 224), "ViT-L/32"},
      {"vit_large_patch32_384", large(32, 384), "ViT-L/32"},
      {"vit_huge_patch14_224", plain(1280, 32, 16, 14, 224), "ViT-H/14"},
      {"vit_small_patch14_dinov2", dinov2(384, 12, 6, 0), "DINOv2 ViT-S/14"},
      {"vit_base_patch14_dinov2", dinov2(768, 12, 12, 0), "DINOv2 ViT-B/14"},
      {"vit_large_patch14_dinov2", dinov2(1024, 24, 16, 0), "DINOv2 ViT-L/14"},
      {"vit_giant_patch14_dinov2", dinov2_giant(0), "DINOv2 ViT-g/14, SwiGLU"},
      {"vit_small_patch14_reg4_dinov2", dinov2(384, 12, 6, 4), "DINOv2 ViT-S/14, 4 registers"},
      {"vit_base_patch14_reg4_dinov2", dinov2(768, 12, 12, 4), "DINOv2 ViT-B/14, 4 registers"},
      {"vit_large_patch14_reg4_dinov2", dinov2(1024, 24, 16, 4), "DINOv2 ViT-L/14, 4 registers"},
      {"vit_giant_patch14_reg4_dinov2", dinov2_giant(4), "DINOv2 ViT-g/14, SwiGLU, 4 registers"},
  };
  return kRows;
}

bool is_dinov2(const VitLayout& layout) { return layout.layer_scale != 0; }

// DINO's weights and DINOv2's; the others take inputs in [-1, 1].
bool has_imagenet_normalisation(const Row& row) {
  return is_dinov2(row.layout) || std::string(row.name) == "vit_small_patch8_224";
}

}  // namespace

VitLayout vit_layout(const std::string& name) { return find_row(rows(), name).layout; }

ModelRows vit_models() {
  ModelRows models;
  for (const Row& row : rows()) {
    ModelRow model;
    model.name = row.name;
    model.family = "vit";
    model.image_size = row.layout.image_size;
    model.naming = is_dinov2(row.layout) ? "timm, transformers, official" : "timm";
    if (!has_imagenet_normalisation(row)) model.mean = model.std = {0.5f, 0.5f, 0.5f};
    model.help = row.help;
    model.namings = is_dinov2(row.layout) ? dinov2_namings() : std::vector<Naming>{};
    model.create = create_vit;
    models.push_back(std::move(model));
  }
  return models;
}

}  // namespace podium::models
