// CutMix: a rectangle of the partner. Source: timm 1.0.24, data/mixup.py, mode "batch".
#include <fmt/format.h>

#include "data_shards/mix/mix.h"
#include "data_shards/mix/mix_draw.h"

namespace podium::data_shards {
namespace {

at::Tensor part_of(const at::Tensor& maps, const PixelRect& box) {
  return maps.narrow(-2, box.y, box.height).narrow(-1, box.x, box.width);
}

// The rectangle of each map comes from its partner.
void paste_box(const at::Tensor& maps, const PixelRect& box) {
  const at::Tensor part = part_of(maps, box);
  part.copy_(part.flip({0}));
}

int draw_below(int n, Rng* rng) { return static_cast<int>(rng->below(static_cast<uint64_t>(n))); }

class CutMix : public Mixing {
 public:
  explicit CutMix(double alpha) : alpha_(alpha) {}

  bool draw(const ImageSize& size, const at::Tensor&, Rng* rng, MixDraw* draw) const override {
    const double lambda = draw_beta(alpha_, rng);
    const int center_y = draw_below(size.height, rng);
    const int center_x = draw_below(size.width, rng);
    draw->box = cutmix_box(size, lambda, center_y, center_x);
    // The share that is left after the cut at the edges.
    const double area = static_cast<double>(draw->box.width) * draw->box.height;
    draw->lambda = 1 - area / (static_cast<double>(size.width) * size.height);
    return true;
  }

  Mixed apply(const MixDraw& draw, Task task, int64_t num_classes, at::Tensor images,
              const at::Tensor& targets) const override {
    paste_box(images, draw.box);
    if (task == Task::kSegmentation) {
      const at::Tensor masks = targets.clone();
      paste_box(masks, draw.box);
      return {images, masks};
    }
    return {images, mix_labels(task, num_classes, targets, draw.lambda)};
  }

  std::string text(const MixDraw& draw, size_t, const std::string& partner,
                   const std::vector<std::string>&) const override {
    return fmt::format("CutMix {:.2f}, rest {}", draw.lambda, partner);
  }

 private:
  double alpha_;
};

}  // namespace

std::shared_ptr<const Mixing> create_cutmix(const PartSpec& spec, const MixSetting&) {
  return std::make_shared<CutMix>(spec.get_float("cutmix_alpha"));
}

}  // namespace podium::data_shards
