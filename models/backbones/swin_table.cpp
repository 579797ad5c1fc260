// The Swins that timm has under these names.
#include "models/backbones/families.h"
#include "models/backbones/layouts.h"
#include "models/backbones/swin_naming.h"

namespace podium::models {
namespace {

struct Row {
  const char* name;
  SwinLayout layout;
  const char* help;
};

constexpr std::array<int64_t, 4> kDeep{2, 2, 18, 2};

SwinLayout tiny(int64_t window_size, int64_t image_size) {
  return {.window_size = window_size, .image_size = image_size};
}
SwinLayout small(int64_t window_size, int64_t image_size) {
  return {.depths = kDeep, .window_size = window_size, .image_size = image_size};
}
SwinLayout base(int64_t window_size, int64_t image_size) {
  return {.num_channels = 128,
          .depths = kDeep,
          .num_heads = {4, 8, 16, 32},
          .window_size = window_size,
          .image_size = image_size};
}
SwinLayout large(int64_t window_size, int64_t image_size) {
  return {.num_channels = 192,
          .depths = kDeep,
          .num_heads = {6, 12, 24, 48},
          .window_size = window_size,
          .image_size = image_size};
}

// Pretrained at 192 px with window 12.
SwinLayout tuned(SwinLayout layout) {
  layout.pretrained_windows = {12, 12, 12, 6};
  return layout;
}

SwinLayout v1(SwinLayout layout) {
  layout.is_v2 = false;
  return layout;
}

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows{
      {"swin_tiny_patch4_window7_224", v1(tiny(7, 224)), "Swin-T"},
      {"swin_small_patch4_window7_224", v1(small(7, 224)), "Swin-S"},
      {"swin_base_patch4_window7_224", v1(base(7, 224)), "Swin-B"},
      {"swin_base_patch4_window12_384", v1(base(12, 384)), "Swin-B"},
      {"swin_large_patch4_window7_224", v1(large(7, 224)), "Swin-L"},
      {"swin_large_patch4_window12_384", v1(large(12, 384)), "Swin-L"},
      {"swinv2_tiny_window8_256", tiny(8, 256), "Swin-v2-T"},
      {"swinv2_tiny_window16_256", tiny(16, 256), "Swin-v2-T"},
      {"swinv2_small_window8_256", small(8, 256), "Swin-v2-S"},
      {"swinv2_small_window16_256", small(16, 256), "Swin-v2-S"},
      {"swinv2_base_window8_256", base(8, 256), "Swin-v2-B"},
      {"swinv2_base_window16_256", base(16, 256), "Swin-v2-B"},
      {"swinv2_base_window12_192", base(12, 192), "Swin-v2-B"},
      {"swinv2_base_window12to16_192to256", tuned(base(16, 256)), "Swin-v2-B, tuned from 192 px"},
      {"swinv2_base_window12to24_192to384", tuned(base(24, 384)), "Swin-v2-B, tuned from 192 px"},
      {"swinv2_large_window12_192", large(12, 192), "Swin-v2-L"},
      {"swinv2_large_window12to16_192to256", tuned(large(16, 256)), "Swin-v2-L, tuned from 192 px"},
      {"swinv2_large_window12to24_192to384", tuned(large(24, 384)), "Swin-v2-L, tuned from 192 px"},
  };
  return kRows;
}

}  // namespace

SwinLayout swin_layout(const std::string& name) { return find_row(rows(), name).layout; }

ModelRows swin_models() {
  ModelRows models;
  for (const Row& row : rows()) {
    ModelRow model;
    model.name = row.name;
    model.family = row.layout.is_v2 ? "swin_v2" : "swin";
    model.image_size = row.layout.image_size;
    model.naming = "timm, official";
    model.help = row.help;
    model.namings = swin_namings();
    model.create = create_swin;
    models.push_back(std::move(model));
  }
  return models;
}

}  // namespace podium::models
