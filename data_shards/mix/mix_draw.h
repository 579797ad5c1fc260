// What several mixings share: the share of a sample, a rectangle, targets by shares. Read next:
// mixup.cpp, cutmix.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "base/rng.h"
#include "data_shards/decode/decode.h"
#include "data_shards/format/task.h"
#include "data_shards/pixels/resample.h"

namespace podium::data_shards {

// A value of Beta(alpha, alpha). Range: alpha > 0.
double draw_beta(double alpha, Rng* rng);
// The rectangle of CutMix about a centre, cut at the edges.
PixelRect cutmix_box(const ImageSize& size, double lambda, int center_y, int center_x);
// The targets of labelled samples that keep the share `lambda`, each with its partner's; as
// apply_mix() gives them.
at::Tensor mix_labels(Task task, int64_t num_classes, const at::Tensor& targets, double lambda);

}  // namespace podium::data_shards
