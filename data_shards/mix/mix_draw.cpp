// Shares and rectangles on the host; targets by plain tensor operations, the same on any device.
#include "data_shards/mix/mix_draw.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

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

at::Tensor mix_labels(Task task, int64_t num_classes, const at::Tensor& targets, double lambda) {
  const at::Tensor vectors = task == Task::kSingleLabel ? one_hot(targets, num_classes) : targets;
  return mix_class_vectors(vectors, lambda);
}

}  // namespace podium::data_shards
