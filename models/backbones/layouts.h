// What tells the models of a family from each other; each layout is found by its model's name in
// FAMILY_table.cpp. Needs no libtorch. Read next: families.h, resnet.h.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "models/layers/mlp_kind.h"

namespace podium::models {

// What tells one BEiT from another.
struct BeitLayout {
  int64_t num_channels = 768;
  int64_t depth = 12;  // blocks
  int64_t num_heads = 12;
  int64_t image_size = 224;       // px
  double layer_scale = 0.1;       // first value
  double norm_eps = 1e-6;         // 1e-12 in transformers
  bool has_shared_table = false;  // one table of relative positions for all blocks (pretraining)
};
// Errors: InternalError for names that are no BEiT's.
BeitLayout beit_layout(const std::string& name);

// What tells one CvT from another.
struct CvtLayout {
  std::array<int64_t, 3> dims{64, 192, 384};
  std::array<int64_t, 3> num_heads{1, 3, 6};
  std::array<int64_t, 3> depths{1, 2, 10};
};
// Errors: InternalError for names that are no CvT's.
CvtLayout cvt_layout(const std::string& name);

// What tells one EfficientNet from another.
struct EfficientNetLayout {
  double width_factor = 1.0;
  double depth_factor = 1.0;
  bool is_tf = false;  // TensorFlow's padding at strides (more to the right), norm eps 1e-3
};
// Requires: a name that ends with the variant's digit: "efficientnet_b0" to "tf_efficientnet_b7".
EfficientNetLayout efficientnet_layout(const std::string& name);

// What tells one ResNet from another.
struct ResNetLayout {
  std::array<int64_t, 4> num_blocks{3, 4, 6, 3};
  bool is_bottleneck = true;  // three convolutions a block, four times the width at its end
  int64_t groups = 1;         // of the 3x3 convolutions (ResNeXt)
  int64_t group_width = 64;   // channels of a group in the first stage
};
// Of a registered name: "resnet18", "resnext101_32x8d". Errors: InternalError for other names.
ResNetLayout resnet_layout(const std::string& name);

// What tells one Swin from another.
struct SwinLayout {
  bool is_v2 = true;
  int64_t num_channels = 96;  // of the first stage; each stage doubles them
  std::array<int64_t, 4> depths{2, 2, 6, 2};
  std::array<int64_t, 4> num_heads{3, 6, 12, 24};
  int64_t window_size = 8;                                // positions
  int64_t image_size = 256;                               // px
  std::array<int64_t, 4> pretrained_windows{0, 0, 0, 0};  // v2; 0: the same window
};
// Errors: InternalError for names that are no Swin's.
SwinLayout swin_layout(const std::string& name);

// What tells one TResNet from another.
struct TResNetLayout {
  std::array<int64_t, 4> num_blocks{3, 4, 11, 3};
  double width_factor = 1.0;  // of 64 channels
  bool is_v2 = false;         // bottlenecks in all stages, widths multiples of 8
};
// Errors: InternalError for names that are no TResNet's.
TResNetLayout tresnet_layout(const std::string& name);

// What tells one ViT from another.
struct VitLayout {
  int64_t patch_size = 16;  // px
  int64_t num_channels = 768;
  int64_t depth = 12;  // blocks
  int64_t num_heads = 12;
  int64_t image_size = 224;   // px, of the published position table
  int64_t num_registers = 0;  // with registers the class token has no position
  double layer_scale = 0.0;   // first value; 0: no layer scale
  MlpKind mlp = MlpKind::kGelu;
  int64_t num_hidden = 3072;  // outputs of the MLP's first layer
};
// Errors: InternalError for names that are no ViT's.
VitLayout vit_layout(const std::string& name);

}  // namespace podium::models
