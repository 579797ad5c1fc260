// Mixing of the samples of a micro-batch with each other, on the device: mixup, CutMix, ClassMix.
// Partners lie within the micro-batch, so that the number of workers changes nothing. Read next:
// mix.cpp, mix_draw.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "data_shards/decode/decode.h"
#include "data_shards/pixels/resample.h"
#include "data_shards/format/task.h"

namespace podium::data_shards {

// Sample i of B is mixed with sample B - 1 - i. mixup and CutMix are for class labels, CutMix and
// ClassMix for masks.
struct MixOptions {
  double mixup_alpha = 0;           // lambda ~ Beta(alpha, alpha); 0: off
  double cutmix_alpha = 0;          // 0: off
  double probability = 1;           // of mixup or CutMix, per micro-batch
  double switch_probability = 0.5;  // of CutMix where both are on
  double classmix_probability = 0;  // of ClassMix where the others were not chosen
  double classmix_share = 0.5;      // of the partner's classes that are pasted, rounded up
  std::pair<double, double> classmix_scale{1, 1};  // of the pasted objects: [low, high]
  std::vector<double> class_weights;  // (K) chances of the classes to be pasted; empty: equal
  int64_t last_epoch = 0;             // mixing ends with this epoch; 0: with the run

  bool has_mixup_or_cutmix() const { return mixup_alpha > 0 || cutmix_alpha > 0; }
  bool is_on(int64_t epoch) const {
    return (has_mixup_or_cutmix() || classmix_probability > 0) &&
           (last_epoch == 0 || epoch < last_epoch);
  }
};

enum class MixKind { kNone, kMixup, kCutMix, kClassMix };

// What a sample gets from its partner by ClassMix.
struct ClassPaste {
  std::vector<int64_t> classes;
  double scale = 1;     // about the centre of these classes' bounding box
  double center_x = 0;  // px, pixel centres at .5
  double center_y = 0;
};

// All random choices for one micro-batch.
struct MixDraw {
  MixKind kind = MixKind::kNone;
  double lambda = 1;                 // share of the sample itself
  PixelRect box{};                   // CutMix: what comes from the partner
  std::vector<ClassPaste> pastes{};  // ClassMix: (B)
};

// `host_masks`: (B, H, W) int64 on the host, undefined for class labels.
// Random: the caller's stream (kMix: step, leaf).
MixDraw draw_mix(const MixOptions& options, const ImageSize& size, const at::Tensor& host_masks,
                 Rng rng);

struct Mixed {
  at::Tensor images;   // (B, C, H, W)
  at::Tensor targets;  // see apply_mix
};
// Shapes: images (B, C, H, W); targets by task: multi label (B, K) floats with kUnknownLabel, which
// stays unknown when either sample's is; single label (B) int64, which become (B, K) floats that
// sum to 1 unless nothing is mixed; masks (B, H, W) int64. Both on one device; `images` may be
// overwritten.
// Source: timm 1.0.24, data/mixup.py, mode "batch"; Olsson et al., ClassMix, WACV 2021.
Mixed apply_mix(const MixDraw& draw, Task task, int64_t num_classes, at::Tensor images,
                const at::Tensor& targets);

// The rectangle of CutMix about a centre, cut at the edges.
PixelRect cutmix_box(const ImageSize& size, double lambda, int center_y, int center_x);
// A value of Beta(alpha, alpha). Range: alpha > 0.
double draw_beta(double alpha, Rng* rng);

}  // namespace podium::data_shards
