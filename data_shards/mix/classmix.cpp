// ClassMix: what some classes of the partner cover is pasted, image and mask. Source: Olsson et
// al., ClassMix, WACV 2021.
#include <ATen/ops/affine_grid_generator.h>
#include <ATen/ops/grid_sampler.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "base/text.h"
#include "data_shards/mix/mix.h"

namespace podium::data_shards {
namespace {

constexpr int64_t kBilinear = 0, kNearest = 1;  // of at::grid_sampler
constexpr int64_t kZeros = 0;                   // padding

struct ClassMixOptions {
  double share = 0.5;                     // of the partner's classes that are pasted, rounded up
  std::pair<double, double> scale{1, 1};  // of the pasted objects: [low, high]
  std::vector<double> class_weights;      // (K) chances of the classes to be pasted
};

// Where each class lies in one mask.
struct Extent {
  int64_t num_pixels = 0;
  int left = std::numeric_limits<int>::max(), right = -1;
  int top = std::numeric_limits<int>::max(), bottom = -1;
};
using Extents = std::array<Extent, 256>;

Extents extents_of(const int64_t* mask, const ImageSize& size) {
  Extents extents{};
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x, ++mask) {
      Extent& extent = extents[static_cast<uint8_t>(*mask)];
      ++extent.num_pixels;
      extent.left = std::min(extent.left, x);
      extent.right = std::max(extent.right, x);
      extent.top = std::min(extent.top, y);
      extent.bottom = y;
    }
  }
  return extents;
}

// Weighted choice without replacement: the largest u^(1 / weight) win (Efraimidis and Spirakis,
// 2006).
std::vector<int64_t> choose_classes(const ClassMixOptions& options, const Extents& extents,
                                    Rng* rng) {
  std::vector<std::pair<double, int64_t>> keys;
  for (size_t k = 0; k < extents.size(); ++k) {
    const double weight = options.class_weights.empty()      ? 1.0
                          : k < options.class_weights.size() ? options.class_weights[k]
                                                             : 0.0;
    if (k == kIgnoreIndex || extents[k].num_pixels == 0 || !(weight > 0)) continue;
    keys.emplace_back(std::log(1 - rng->uniform()) / weight, static_cast<int64_t>(k));
  }
  std::sort(keys.rbegin(), keys.rend());
  const auto count =
      static_cast<size_t>(std::ceil(options.share * static_cast<double>(keys.size())));
  std::vector<int64_t> classes;
  for (size_t i = 0; i < std::min(count, keys.size()); ++i) classes.push_back(keys[i].second);
  return classes;
}

ClassPaste draw_paste(const ClassMixOptions& options, const Extents& partner, Rng* rng) {
  ClassPaste paste;
  paste.scale = rng->uniform(options.scale.first, options.scale.second);
  paste.classes = choose_classes(options, partner, rng);
  Extent all;
  for (const int64_t k : paste.classes) {
    const Extent& extent = partner[static_cast<size_t>(k)];
    all.left = std::min(all.left, extent.left);
    all.right = std::max(all.right, extent.right);
    all.top = std::min(all.top, extent.top);
    all.bottom = std::max(all.bottom, extent.bottom);
  }
  if (paste.classes.empty()) return paste;
  paste.center_x = (static_cast<double>(all.left) + all.right + 1) / 2;
  paste.center_y = (static_cast<double>(all.top) + all.bottom + 1) / 2;
  return paste;
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

class ClassMix : public Mixing {
 public:
  explicit ClassMix(ClassMixOptions options) : options_(std::move(options)) {}

  bool draw(const ImageSize& size, const at::Tensor& host_masks, Rng* rng,
            MixDraw* draw) const override {
    if (!host_masks.defined()) return false;
    const int64_t num_samples = host_masks.size(0);
    for (int64_t i = 0; i < num_samples; ++i) {
      const int64_t partner = num_samples - 1 - i;
      const Extents extents = extents_of(
          host_masks.const_data_ptr<int64_t>() + partner * size.height * size.width, size);
      draw->pastes.push_back(draw_paste(options_, extents, rng));
    }
    return true;
  }

  Mixed apply(const MixDraw& draw, Task, int64_t, at::Tensor images,
              const at::Tensor& targets) const override {
    return apply_classmix(draw.pastes, images, targets);
  }

  std::string text(const MixDraw& draw, size_t slot, const std::string& partner,
                   const std::vector<std::string>& classes) const override {
    const ClassPaste& paste = draw.pastes[slot];
    std::vector<std::string> pasted;
    for (const int64_t k : paste.classes) pasted.push_back(classes[static_cast<size_t>(k)]);
    if (pasted.empty()) return fmt::format("ClassMix: nothing of {}", partner);
    return fmt::format("ClassMix: {} of {} x{:.2f}", join(pasted, ", "), partner, paste.scale);
  }

 private:
  ClassMixOptions options_;
};

// (pixels of the class)^-rarity, times the given weight. A class that does not occur cannot be
// chosen anyway.
std::vector<double> class_weights(const PartSpec& spec, const MixSetting& setting) {
  const auto num_classes = static_cast<size_t>(setting.num_classes);
  std::vector<double> weights = spec.get_floats("classmix_class_weights");
  if (weights.empty()) weights.assign(num_classes, 1.0);
  if (weights.size() != num_classes) {
    setting.refuse("classmix_class_weights",
                   fmt::format("{} weights for {} classes; give one for each, or none",
                               weights.size(), num_classes));
  }
  const double rarity = spec.get_float("classmix_rarity");
  if (rarity <= 0) return weights;
  const std::vector<double> pixels = setting.class_pixels();
  for (size_t k = 0; k < num_classes; ++k) {
    weights[k] *= std::pow(std::max(pixels[k], 1.0), -rarity);
  }
  // Only their proportions count; the largest is 1, so that no power of them underflows.
  const double largest = *std::max_element(weights.begin(), weights.end());
  if (largest > 0) {
    for (double& weight : weights) weight /= largest;
  }
  return weights;
}

}  // namespace

std::shared_ptr<const Mixing> create_classmix(const PartSpec& spec, const MixSetting& setting) {
  const std::vector<double> scale = spec.get_floats("classmix_scale");
  if (scale.size() != 2 || scale[0] > scale[1]) {
    setting.refuse("classmix_scale", fmt::format("found [{}]; give [low, high] with low <= high",
                                                 fmt::join(scale, ", ")));
  }
  const bool is_on = spec.get_float("classmix_probability") > 0;
  if (is_on && setting.task != Task::kSegmentation) {
    setting.refuse("classmix_probability",
                   fmt::format("it needs masks, but the data set is {}; use mix.mixup_alpha or "
                               "mix.cutmix_alpha",
                               task_name(setting.task)));
  }
  ClassMixOptions options;
  options.share = spec.get_float("classmix_share");
  options.scale = {scale[0], scale[1]};
  if (is_on) options.class_weights = class_weights(spec, setting);
  return std::make_shared<ClassMix>(std::move(options));
}

}  // namespace podium::data_shards
