// The random choices of mixing, on the host.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "data_shards/transform/mix.h"

namespace podium::data_shards {
namespace {

// Gamma(shape, 1). Source: Marsaglia and Tsang, ACM TOMS 26 (2000); shapes below 1 by their boost.
double draw_gamma(double shape, Rng* rng) {
  if (shape < 1) {
    const double u = 1 - rng->uniform();  // never 0
    return draw_gamma(shape + 1, rng) * std::pow(u, 1 / shape);
  }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = rng->normal();
    const double root = 1 + c * x;
    const double u = 1 - rng->uniform();
    if (root <= 0) continue;
    const double v = root * root * root;
    if (std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

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
std::vector<int64_t> choose_classes(const MixOptions& options, const Extents& extents, Rng* rng) {
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
      static_cast<size_t>(std::ceil(options.classmix_share * static_cast<double>(keys.size())));
  std::vector<int64_t> classes;
  for (size_t i = 0; i < std::min(count, keys.size()); ++i) classes.push_back(keys[i].second);
  return classes;
}

ClassPaste draw_paste(const MixOptions& options, const Extents& partner, Rng* rng) {
  ClassPaste paste;
  paste.scale = rng->uniform(options.classmix_scale.first, options.classmix_scale.second);
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

int draw_below(int n, Rng* rng) { return static_cast<int>(rng->below(static_cast<uint64_t>(n))); }

MixDraw draw_mixup_or_cutmix(const MixOptions& options, const ImageSize& size, Rng* rng) {
  MixDraw draw;
  const bool is_switched = rng->bernoulli(options.switch_probability);
  const bool is_cutmix = options.cutmix_alpha > 0 && (options.mixup_alpha <= 0 || is_switched);
  draw.lambda = draw_beta(is_cutmix ? options.cutmix_alpha : options.mixup_alpha, rng);
  draw.kind = MixKind::kMixup;
  if (!is_cutmix) return draw;
  draw.kind = MixKind::kCutMix;
  const int center_y = draw_below(size.height, rng);
  const int center_x = draw_below(size.width, rng);
  draw.box = cutmix_box(size, draw.lambda, center_y, center_x);
  // The share that is left after the cut at the edges.
  const double area = static_cast<double>(draw.box.width) * draw.box.height;
  draw.lambda = 1 - area / (static_cast<double>(size.width) * size.height);
  return draw;
}

}  // namespace

double draw_beta(double alpha, Rng* rng) {
  const double a = draw_gamma(alpha, rng), b = draw_gamma(alpha, rng);
  // Both may underflow for a tiny alpha, where the distribution is nearly a coin.
  return a + b > 0 ? a / (a + b) : (rng->bernoulli(0.5) ? 1.0 : 0.0);
}

PixelRect cutmix_box(const ImageSize& size, double lambda, int center_y, int center_x) {
  const double ratio = std::sqrt(1 - lambda);
  const int half_height = static_cast<int>(size.height * ratio) / 2;
  const int half_width = static_cast<int>(size.width * ratio) / 2;
  const int top = std::max(center_y - half_height, 0), left = std::max(center_x - half_width, 0);
  const int bottom = std::min(center_y + half_height, size.height);
  const int right = std::min(center_x + half_width, size.width);
  return {left, top, right - left, bottom - top};
}

MixDraw draw_mix(const MixOptions& options, const ImageSize& size, const at::Tensor& host_masks,
                 Rng rng) {
  const bool is_mixed = rng.bernoulli(options.probability);
  if (options.has_mixup_or_cutmix() && is_mixed) {
    return draw_mixup_or_cutmix(options, size, &rng);
  }
  MixDraw draw;
  if (!rng.bernoulli(options.classmix_probability) || !host_masks.defined()) return draw;
  draw.kind = MixKind::kClassMix;
  const int64_t num_samples = host_masks.size(0);
  for (int64_t i = 0; i < num_samples; ++i) {
    const int64_t partner = num_samples - 1 - i;
    const Extents extents =
        extents_of(host_masks.const_data_ptr<int64_t>() + partner * size.height * size.width, size);
    draw.pastes.push_back(draw_paste(options, extents, &rng));
  }
  return draw;
}

}  // namespace podium::data_shards
