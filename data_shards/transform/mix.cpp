// Mixing of images and targets: plain tensor operations, the same on any device.
#include "data_shards/transform/mix.h"

#include <ATen/ops/affine_grid_generator.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/grid_sampler.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include "base/error.h"

namespace podium::data_shards {
namespace {

constexpr int64_t kBilinear = 0, kNearest = 1;  // of at::grid_sampler
constexpr int64_t kZeros = 0;                   // padding

at::Tensor part_of(const at::Tensor& maps, const PixelRect& box) {
  return maps.narrow(-2, box.y, box.height).narrow(-1, box.x, box.width);
}

// The rectangle of each map comes from its partner.
void paste_box(const at::Tensor& maps, const PixelRect& box) {
  const at::Tensor part = part_of(maps, box);
  part.copy_(part.flip({0}));
}

at::Tensor one_hot(const at::Tensor& indices, int64_t num_classes) {
  const at::Tensor vectors =
      at::zeros({indices.size(0), num_classes}, indices.options().dtype(at::kFloat));
  return vectors.scatter(1, indices.unsqueeze(1), 1.0);
}

// (B, K) of both samples by their shares.
at::Tensor mix_class_vectors(const at::Tensor& vectors, double lambda) {
  if (lambda == 1) return vectors;
  const at::Tensor partners = vectors.flip({0});
  const at::Tensor is_unknown = vectors.lt(0).logical_or(partners.lt(0));
  return vectors.mul(lambda).add(partners.mul(1 - lambda)).masked_fill(is_unknown, kUnknownLabel);
}

// For grid_sampler, in its units of -1 .. 1 over the image: (B, 2, 3), each enlarging by `scale`
// about its centre.
at::Tensor transforms_of(const std::vector<ClassPaste>& pastes, double height, double width) {
  const at::Tensor transforms = at::zeros({static_cast<int64_t>(pastes.size()), 2, 3}, at::kFloat);
  auto* to = transforms.mutable_data_ptr<float>();
  for (const ClassPaste& paste : pastes) {
    const double inverse = 1 / paste.scale;
    const double x = 2 * paste.center_x / width - 1, y = 2 * paste.center_y / height - 1;
    to[0] = to[4] = static_cast<float>(inverse);
    to[2] = static_cast<float>(x * (1 - inverse));
    to[5] = static_cast<float>(y * (1 - inverse));
    to += 6;
  }
  return transforms;
}

bool has_changed_scale(const std::vector<ClassPaste>& pastes) {
  for (const ClassPaste& paste : pastes) {
    if (paste.scale != 1) return true;
  }
  return false;
}

// (B, 256): which mask values are pasted into each sample.
at::Tensor pasted_values(const std::vector<ClassPaste>& pastes) {
  const at::Tensor table = at::zeros({static_cast<int64_t>(pastes.size()), 256}, at::kBool);
  for (size_t i = 0; i < pastes.size(); ++i) {
    for (const int64_t k : pastes[i].classes) {
      table.mutable_data_ptr<bool>()[static_cast<int64_t>(i) * 256 + k] = true;
    }
  }
  return table;
}

Mixed apply_classmix(const std::vector<ClassPaste>& pastes, const at::Tensor& images,
                     const at::Tensor& masks) {
  at::Tensor partner_images = images.flip({0}), partner_masks = masks.flip({0});
  if (has_changed_scale(pastes)) {
    const at::Tensor transforms = transforms_of(pastes, static_cast<double>(images.size(2)),
                                                static_cast<double>(images.size(3)))
                                      .to(images.device());
    const at::Tensor grid = at::affine_grid_generator(transforms, images.sizes(), false);
    partner_images = at::grid_sampler(partner_images, grid, kBilinear, kZeros, false);
    // Outside of the partner is 0, which stands for kIgnoreIndex and is never pasted.
    const at::Tensor shifted = partner_masks.sub(int64_t{kIgnoreIndex}).to(at::kFloat).unsqueeze(1);
    partner_masks = at::grid_sampler(shifted, grid, kNearest, kZeros, false)
                        .squeeze(1)
                        .to(at::kLong)
                        .add(int64_t{kIgnoreIndex});
  }
  const at::Tensor is_pasted = pasted_values(pastes)
                                   .to(masks.device())
                                   .gather(1, partner_masks.flatten(1))
                                   .view(masks.sizes());
  return {at::where(is_pasted.unsqueeze(1), partner_images, images),
          at::where(is_pasted, partner_masks, masks)};
}

}  // namespace

Mixed apply_mix(const MixDraw& draw, Task task, int64_t num_classes, at::Tensor images,
                const at::Tensor& targets) {
  if (draw.kind == MixKind::kNone) return {images, targets};
  if (draw.kind == MixKind::kClassMix) return apply_classmix(draw.pastes, images, targets);
  if (draw.kind == MixKind::kMixup) {
    if (task == Task::kSegmentation) throw InternalError("mixup of masks has no meaning");
    const at::Tensor partners = images.flip({0}).mul_(1 - draw.lambda);
    images.mul_(draw.lambda).add_(partners);
  } else {
    paste_box(images, draw.box);
  }
  if (task == Task::kSegmentation) {
    const at::Tensor masks = targets.clone();
    paste_box(masks, draw.box);
    return {images, masks};
  }
  const at::Tensor vectors = task == Task::kSingleLabel ? one_hot(targets, num_classes) : targets;
  return {images, mix_class_vectors(vectors, draw.lambda)};
}

}  // namespace podium::data_shards
